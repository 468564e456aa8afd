#include "int8_weights.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "openvino/op/constant.hpp"
#include "openvino/op/convert.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/multiply.hpp"

namespace carrel::retrieval {
namespace {

constexpr float kLargest = 127;

// `weights` is a matrix; `outputs_first`: a row is an output's, else a column. What comes out has them first: that is
// how OpenVINO wants them, and so every model that is compiled of it shares this copy instead of turning one of its
// own.
ov::Output<ov::Node> Quantized(const ov::op::v0::Constant& weights, bool outputs_first) {
  const ov::Shape shape = weights.get_shape();
  const size_t outputs = shape[outputs_first ? 0 : 1], inputs = shape[outputs_first ? 1 : 0];
  const size_t next_output = outputs_first ? inputs : 1, next_input = outputs_first ? 1 : outputs;
  const float* const values = weights.get_data_ptr<float>();
  std::vector<int8_t> codes(outputs * inputs);
  std::vector<float> scales(outputs);
  for (size_t o = 0; o < outputs; ++o) {
    const float* const of_output = values + o * next_output;
    float largest = 0;
    for (size_t i = 0; i < inputs; ++i) largest = std::max(largest, std::abs(of_output[i * next_input]));
    scales[o] = largest > 0 ? largest / kLargest : 1;
    for (size_t i = 0; i < inputs; ++i) {
      const float code = std::nearbyint(of_output[i * next_input] / scales[o]);
      codes[o * inputs + i] = static_cast<int8_t>(std::clamp(code, -kLargest, kLargest));
    }
  }
  const auto bytes = std::make_shared<ov::op::v0::Constant>(ov::element::i8, ov::Shape{outputs, inputs}, codes);
  const auto numbers = std::make_shared<ov::op::v0::Convert>(bytes, ov::element::f32);
  const auto scale = std::make_shared<ov::op::v0::Constant>(ov::element::f32, ov::Shape{outputs, 1}, scales);
  return std::make_shared<ov::op::v1::Multiply>(numbers, scale)->output(0);
}

}  // namespace

std::shared_ptr<ov::Model> WithInt8Weights(const ov::Model& model) {
  std::shared_ptr<ov::Model> out = model.clone();
  for (const auto& node : out->get_ordered_ops()) {
    const auto product = ov::as_type_ptr<ov::op::v0::MatMul>(node);
    if (product == nullptr) continue;
    const auto weights = ov::as_type_ptr<ov::op::v0::Constant>(product->get_input_node_shared_ptr(1));
    if (weights == nullptr || weights->get_element_type() != ov::element::f32 || weights->get_shape().size() != 2) {
      continue;
    }
    product->input(1).replace_source_output(Quantized(*weights, product->get_transpose_b()));
    product->set_transpose_b(true);
  }
  return out;
}

}  // namespace carrel::retrieval
