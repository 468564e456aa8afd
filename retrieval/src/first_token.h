// A BERT whose vector is that of its first token needs the last layer for that token alone: its query, its residual,
// its feed-forward network; keys and values stay everybody's. A twelfth of the products is saved for each eleven that a
// layer has (seven in a hundred with twelve layers), and the numbers are the same.
#pragma once

#include <memory>

#include "openvino/openvino.hpp"

namespace carrel::retrieval {

// A copy whose first output has one row a text, that of the first token. Null: the last layer is not built as the
// transformers' exports of BERT are (the input of the last attention goes to its three projections and to one sum).
[[nodiscard]] std::shared_ptr<ov::Model> ForFirstToken(const ov::Model& model);

}  // namespace carrel::retrieval
