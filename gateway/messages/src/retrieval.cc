#include "gateway/messages/retrieval.h"

#include <optional>
#include <utility>

#include "rpc/status.h"

namespace carrel::gateway {
namespace {

namespace pb = carrel::retrieval::v1;

constexpr int kDepthMax = 8;

std::optional<SearchFilter::Op> OpOf(pb::Comparison::Operator op) {
  using Op = SearchFilter::Op;
  switch (op) {
    case pb::Comparison::EQ:
      return Op::kEq;
    case pb::Comparison::NE:
      return Op::kNe;
    case pb::Comparison::GT:
      return Op::kGt;
    case pb::Comparison::GTE:
      return Op::kGte;
    case pb::Comparison::LT:
      return Op::kLt;
    case pb::Comparison::LTE:
      return Op::kLte;
    case pb::Comparison::IN:
      return Op::kIn;
    case pb::Comparison::NIN:
      return Op::kNin;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<SearchFilter> ReadFilter(const pb::Filter& filter, int depth) {
  if (depth > kDepthMax) return rpc::InvalidField("filter", "deeper", "nested at most 8 deep");
  SearchFilter out;
  if (filter.has_comparison()) {
    const std::optional<SearchFilter::Op> op = OpOf(filter.comparison().op());
    if (!op) return rpc::InvalidField("filter.comparison.op", "", "an operator");
    out.op = *op;
    out.key = filter.comparison().key();
    for (const pb::AttributeValue& value : filter.comparison().values()) out.values.push_back(ValueFrom(value));
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

AttributeValue ValueFrom(const pb::AttributeValue& value) {
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

absl::StatusOr<SearchFilter> FilterFrom(const pb::Filter& filter) { return ReadFilter(filter, 1); }

RankingOptions RankingFrom(const pb::Ranking& ranking) {
  RankingOptions out{.score_threshold = ranking.score_threshold()};
  if (!ranking.ranker().empty()) out.ranker = ranking.ranker();
  if (ranking.has_embedding_weight()) out.embedding_weight = ranking.embedding_weight();
  if (ranking.has_text_weight()) out.text_weight = ranking.text_weight();
  if (ranking.rrf_k() != 0) out.rrf_k = static_cast<int>(ranking.rrf_k());
  return out;
}

}  // namespace carrel::gateway
