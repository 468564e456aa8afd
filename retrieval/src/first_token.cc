#include "first_token.h"

#include <vector>

#include "openvino/op/add.hpp"
#include "openvino/op/constant.hpp"
#include "openvino/op/gather.hpp"
#include "openvino/op/matmul.hpp"
#include "openvino/op/softmax.hpp"

namespace carrel::retrieval {
namespace {

using NodePtr = std::shared_ptr<ov::Node>;

// Up the first input that is a tensor of tokens (no constant, no shape), to the next product.
NodePtr ProductAbove(NodePtr node) {
  while (node != nullptr) {
    NodePtr above;
    for (const ov::Output<ov::Node>& input : node->input_values()) {
      const ov::Rank rank = input.get_partial_shape().rank();
      if (ov::is_type<ov::op::v0::Constant>(input.get_node()) || rank.is_dynamic() || rank.get_length() < 3) continue;
      above = input.get_node_shared_ptr();
      break;
    }
    if (above == nullptr || ov::is_type<ov::op::v0::MatMul>(above)) return above;
    node = above;
  }
  return nullptr;
}

NodePtr LastSoftmax(const ov::Model& model) {
  NodePtr last;
  for (const NodePtr& node : model.get_ordered_ops()) {
    if (ov::is_type<ov::op::v8::Softmax>(node) || ov::is_type<ov::op::v1::Softmax>(node)) last = node;
  }
  return last;
}

ov::Output<ov::Node> FirstTokenOf(const ov::Output<ov::Node>& hidden) {
  const auto places = ov::op::v0::Constant::create(ov::element::i64, {1}, {0});
  const auto axis = ov::op::v0::Constant::create(ov::element::i64, {}, {1});
  return std::make_shared<ov::op::v8::Gather>(hidden, places, axis)->output(0);
}

}  // namespace

std::shared_ptr<ov::Model> ForFirstToken(const ov::Model& model) {
  std::shared_ptr<ov::Model> out = model.clone();
  const NodePtr softmax = LastSoftmax(*out);
  const NodePtr scores = softmax == nullptr ? nullptr : ProductAbove(softmax);
  const NodePtr query = scores == nullptr ? nullptr : ProductAbove(scores);  // the first factor is the queries
  if (query == nullptr) return nullptr;
  const ov::Output<ov::Node> hidden = query->input_value(0);
  std::vector<ov::Input<ov::Node>> narrowed;
  size_t projections = 0, sums = 0;
  for (const ov::Input<ov::Node>& input : hidden.get_target_inputs()) {
    const ov::Node* const consumer = input.get_node();
    if (ov::is_type<ov::op::v0::MatMul>(consumer)) {
      ++projections;
      if (consumer == query.get()) narrowed.push_back(input);
    } else if (ov::is_type<ov::op::v1::Add>(consumer)) {
      ++sums;
      narrowed.push_back(input);
    } else {
      return nullptr;
    }
  }
  if (projections != 3 || sums != 1) return nullptr;
  const ov::Output<ov::Node> first = FirstTokenOf(hidden);
  for (ov::Input<ov::Node>& input : narrowed) input.replace_source_output(first);
  out->validate_nodes_and_infer_types();
  const ov::PartialShape shape = out->output(0).get_partial_shape();
  if (shape.rank() != 3 || shape[1] != 1) return nullptr;
  return out;
}

}  // namespace carrel::retrieval
