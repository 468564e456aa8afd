#include "retrieval/filter.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

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

// Lengths before texts, so that no value can be taken for the end of another.
void AppendKey(const Filter& filter, std::string& out) {
  if (const auto* comparison = std::get_if<Comparison>(&filter.kind)) {
    absl::StrAppend(&out, "c", static_cast<int>(comparison->op), ":", comparison->key.size(), ":", comparison->key, ":",
                    comparison->values.size());
    for (const AttributeValue& value : comparison->values) {
      if (const auto* text = std::get_if<std::string>(&value)) {
        absl::StrAppend(&out, "t", text->size(), ":", *text);
      } else if (const auto* number = std::get_if<double>(&value)) {
        absl::StrAppend(&out, "n", absl::Hex(std::bit_cast<uint64_t>(*number)), ":");
      } else {
        out += std::get<bool>(value) ? "f1" : "f0";
      }
    }
    return;
  }
  const auto& compound = std::get<Compound>(filter.kind);
  absl::StrAppend(&out, "g", static_cast<int>(compound.op), ":", compound.filters.size(), "(");
  for (const Filter& inner : compound.filters) AppendKey(inner, out);
  out += ")";
}

}  // namespace

std::string FilterKey(const Filter& filter) {
  std::string out;
  AppendKey(filter, out);
  return out;
}

bool Holds(const Filter& filter, const Attributes& attributes) {
  if (const auto* comparison = std::get_if<Comparison>(&filter.kind)) return ComparisonHolds(*comparison, attributes);
  const auto& compound = std::get<Compound>(filter.kind);
  const auto holds = [&](const Filter& inner) { return Holds(inner, attributes); };
  return compound.op == Compound::Operator::kAnd ? std::all_of(compound.filters.begin(), compound.filters.end(), holds)
                                                 : std::any_of(compound.filters.begin(), compound.filters.end(), holds);
}

}  // namespace carrel::retrieval
