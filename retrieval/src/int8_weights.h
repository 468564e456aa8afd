// A model with its matrices in eight bits, for short texts: then inference takes the time of reading the weights and
// of the products, and processors that know how multiply bytes twice as fast as half-precision numbers.
//
// Each output's weights have a scale of their own, which keeps the vectors (cosine to f32's 0.9995 with
// bge-small-en-v1.5); one scale for a whole matrix does not (0.98).
#pragma once

#include <memory>

#include "openvino/openvino.hpp"

namespace carrel::retrieval {

// A copy, in which every constant f32 matrix that is multiplied with is int8 times a scale. The rest stays as it is.
[[nodiscard]] std::shared_ptr<ov::Model> WithInt8Weights(const ov::Model& model);

}  // namespace carrel::retrieval
