#include "gateway/messages/retrieval.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <variant>

#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::retrieval::v1;

constexpr int kDepthMax = 8;

constexpr std::pair<SearchFilter::Op, pb::Comparison::Operator> kComparisons[] = {
    {SearchFilter::Op::kEq, pb::Comparison::EQ}, {SearchFilter::Op::kNe, pb::Comparison::NE},
    {SearchFilter::Op::kGt, pb::Comparison::GT}, {SearchFilter::Op::kGte, pb::Comparison::GTE},
    {SearchFilter::Op::kLt, pb::Comparison::LT}, {SearchFilter::Op::kLte, pb::Comparison::LTE},
    {SearchFilter::Op::kIn, pb::Comparison::IN}, {SearchFilter::Op::kNin, pb::Comparison::NIN}};

absl::StatusOr<SearchFilter> ReadFilter(const pb::Filter& filter, int depth) {
  if (depth > kDepthMax) return rpc::InvalidField("filter", "deeper", "nested at most 8 deep");
  SearchFilter out;
  if (filter.has_comparison()) {
    const auto* const known = std::find_if(std::begin(kComparisons), std::end(kComparisons),
                                           [&](const auto& pair) { return pair.second == filter.comparison().op(); });
    if (known == std::end(kComparisons)) return rpc::InvalidField("filter.comparison.op", "", "an operator");
    out.op = known->first;
    out.key = filter.comparison().key();
    for (const pb::AttributeValue& value : filter.comparison().values()) out.values.push_back(FromProto(value));
    return out;
  }
  const pb::Compound& compound = filter.compound();
  if (compound.op() != pb::Compound::AND && compound.op() != pb::Compound::OR) {
    return rpc::InvalidField("filter", "", "a comparison, or a compound with AND or OR");
  }
  out.op = compound.op() == pb::Compound::AND ? SearchFilter::Op::kAnd : SearchFilter::Op::kOr;
  for (const pb::Filter& inner : compound.filters()) {
    absl::StatusOr<SearchFilter> read = ReadFilter(inner, depth + 1);
    if (!read.ok()) return read;
    out.filters.push_back(*std::move(read));
  }
  return out;
}

}  // namespace

TextSpan FromProto(const pb::Span& span) { return {.begin = span.begin(), .end = span.end()}; }

Citation FromProto(const pb::Citation& from) {
  Citation citation{.quote = from.quote(),
                    .span = FromProto(from.span()),
                    .first_page = static_cast<int>(from.first_page()),
                    .last_page = static_cast<int>(from.last_page()),
                    .first_page_label = from.first_page_label(),
                    .last_page_label = from.last_page_label(),
                    .recognised = from.recognised()};
  for (const pb::Box& box : from.boxes()) {
    citation.boxes.push_back({.page = static_cast<int>(box.page()),
                              .x_min = box.x_min(),
                              .y_min = box.y_min(),
                              .x_max = box.x_max(),
                              .y_max = box.y_max()});
  }
  return citation;
}

AttributeValue FromProto(const pb::AttributeValue& value) {
  switch (value.value_case()) {
    case pb::AttributeValue::kNumber:
      return value.number();
    case pb::AttributeValue::kFlag:
      return value.flag();
    case pb::AttributeValue::kText:
    case pb::AttributeValue::VALUE_NOT_SET:
      break;
  }
  return value.text();
}

RankingOptions FromProto(const pb::Ranking& ranking) {
  RankingOptions out{.score_threshold = ranking.score_threshold()};
  if (!ranking.ranker().empty()) out.ranker = ranking.ranker();
  if (ranking.has_embedding_weight()) out.embedding_weight = ranking.embedding_weight();
  if (ranking.has_text_weight()) out.text_weight = ranking.text_weight();
  if (ranking.rrf_k() != 0) out.rrf_k = static_cast<int>(ranking.rrf_k());
  return out;
}

absl::StatusOr<SearchFilter> FromProto(const pb::Filter& filter) { return ReadFilter(filter, 1); }

pb::Citation ToProto(const Citation& from) {
  pb::Citation citation;
  citation.set_quote(from.quote);
  citation.mutable_span()->set_begin(from.span.begin);
  citation.mutable_span()->set_end(from.span.end);
  citation.set_first_page(static_cast<uint32_t>(from.first_page));
  citation.set_last_page(static_cast<uint32_t>(from.last_page));
  citation.set_first_page_label(from.first_page_label);
  citation.set_last_page_label(from.last_page_label);
  citation.set_recognised(from.recognised);
  for (const PageBox& box : from.boxes) {
    pb::Box& out = *citation.add_boxes();
    out.set_page(static_cast<uint32_t>(box.page));
    out.set_x_min(box.x_min);
    out.set_y_min(box.y_min);
    out.set_x_max(box.x_max);
    out.set_y_max(box.y_max);
  }
  return citation;
}

pb::AttributeValue ToProto(const AttributeValue& value) {
  pb::AttributeValue out;
  if (const auto* text = std::get_if<std::string>(&value)) {
    out.set_text(*text);
  } else if (const auto* number = std::get_if<double>(&value)) {
    out.set_number(*number);
  } else {
    out.set_flag(std::get<bool>(value));
  }
  return out;
}

pb::Filter ToProto(const SearchFilter& filter) {
  pb::Filter out;
  const auto* const comparison = std::find_if(std::begin(kComparisons), std::end(kComparisons),
                                              [&](const auto& pair) { return pair.first == filter.op; });
  if (comparison == std::end(kComparisons)) {
    pb::Compound& compound = *out.mutable_compound();
    compound.set_op(filter.op == SearchFilter::Op::kAnd ? pb::Compound::AND : pb::Compound::OR);
    for (const SearchFilter& inner : filter.filters) *compound.add_filters() = ToProto(inner);
    return out;
  }
  out.mutable_comparison()->set_op(comparison->second);
  out.mutable_comparison()->set_key(filter.key);
  for (const AttributeValue& value : filter.values) *out.mutable_comparison()->add_values() = ToProto(value);
  return out;
}

}  // namespace carrel::gateway
