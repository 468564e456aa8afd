#include "retrieval/filter.h"

#include <algorithm>

namespace carrel::retrieval {
namespace {

bool Ordered(Comparison::Operator op, const AttributeValue& left, const AttributeValue& right) {
  if (left.index() != right.index() || std::holds_alternative<bool>(left)) return false;
  switch (op) {
    case Comparison::Operator::kGt:
      return left > right;
    case Comparison::Operator::kGte:
      return left >= right;
    case Comparison::Operator::kLt:
      return left < right;
    default:
      return left <= right;
  }
}

bool ComparisonHolds(const Comparison& comparison, const Attributes& attributes) {
  const auto found = attributes.find(comparison.key);
  const bool any = found != attributes.end() && std::find(comparison.values.begin(), comparison.values.end(),
                                                          found->second) != comparison.values.end();
  switch (comparison.op) {
    case Comparison::Operator::kEq:
    case Comparison::Operator::kIn:
      return any;
    case Comparison::Operator::kNe:
    case Comparison::Operator::kNin:
      return !any;
    default:
      return found != attributes.end() && !comparison.values.empty() &&
             Ordered(comparison.op, found->second, comparison.values.front());
  }
}

}  // namespace

bool Holds(const Filter& filter, const Attributes& attributes) {
  if (const auto* comparison = std::get_if<Comparison>(&filter.kind)) return ComparisonHolds(*comparison, attributes);
  const auto& compound = std::get<Compound>(filter.kind);
  const auto holds = [&](const Filter& inner) { return Holds(inner, attributes); };
  return compound.op == Compound::Operator::kAnd ? std::all_of(compound.filters.begin(), compound.filters.end(), holds)
                                                 : std::any_of(compound.filters.begin(), compound.filters.end(), holds);
}

}  // namespace carrel::retrieval
