#include "retrieval/attribute_index.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace carrel::retrieval {
namespace {

constexpr size_t kBytesPerDocument = 48;  // its place, and the bookkeeping
constexpr size_t kBytesPerValue = 120;    // of a map's node

// Not a number is equal to nothing and has no place in an order; no comparison with it holds.
bool Comparable(const AttributeValue& value) {
  const auto* const number = std::get_if<double>(&value);
  return number == nullptr || !std::isnan(*number);
}

}  // namespace

void AttributeIndex::Put(int64_t document, int64_t content, const Attributes& attributes) {
  Remove(document);
  const auto place = static_cast<uint32_t>(contents_.size());
  contents_.push_back(content);
  live_.Resize(place + 1);
  live_.Add(place);
  places_[document] = place;
  bytes_ += kBytesPerDocument;
  for (const auto& [key, value] : attributes) {
    if (!Comparable(value)) continue;
    std::vector<uint32_t>& documents = columns_[key][value];
    bytes_ += sizeof(uint32_t) + (documents.empty() ? kBytesPerValue : 0);
    documents.push_back(place);
  }
}

void AttributeIndex::Remove(int64_t document) {
  const auto found = places_.find(document);
  if (found == places_.end()) return;
  live_.RemoveRange(found->second, found->second + 1);
  places_.erase(found);
}

PositionSet AttributeIndex::Matching(const Filter& filter) const {
  if (const auto* comparison = std::get_if<Comparison>(&filter.kind)) return MatchingComparison(*comparison);
  const auto& compound = std::get<Compound>(filter.kind);
  const bool all = compound.op == Compound::Operator::kAnd;
  PositionSet out(live_.size());
  if (all) out.Complement();  // of nothing all holds, and none
  for (const Filter& inner : compound.filters) {
    if (all) {
      out.IntersectWith(Matching(inner));
    } else {
      out.UniteWith(Matching(inner));
    }
  }
  return out;
}

PositionSet AttributeIndex::MatchingComparison(const Comparison& comparison) const {
  using Operator = Comparison::Operator;
  PositionSet out(live_.size());
  const auto column = columns_.find(comparison.key);
  const auto add = [&](const std::vector<uint32_t>& places) {
    for (const uint32_t place : places) out.Add(place);
  };
  const bool equality = comparison.op == Operator::kEq || comparison.op == Operator::kNe ||
                        comparison.op == Operator::kIn || comparison.op == Operator::kNin;
  if (equality) {
    if (column != columns_.end()) {
      for (const AttributeValue& value : comparison.values) {
        const auto found = Comparable(value) ? column->second.find(value) : column->second.end();
        if (found != column->second.end()) add(found->second);
      }
    }
    if (comparison.op == Operator::kNe || comparison.op == Operator::kNin) out.Complement();
    return out;
  }
  if (column == columns_.end() || comparison.values.empty()) return out;
  const AttributeValue& limit = comparison.values.front();
  if (std::holds_alternative<bool>(limit) || !Comparable(limit)) return out;
  // Values of the limit's kind stand together in the column.
  const Column& values = column->second;
  auto from = values.begin(), to = values.end();
  switch (comparison.op) {
    case Operator::kGt:
      from = values.upper_bound(limit);
      break;
    case Operator::kGte:
      from = values.lower_bound(limit);
      break;
    case Operator::kLt:
      to = values.lower_bound(limit);
      break;
    default:
      to = values.upper_bound(limit);
  }
  for (auto it = from; it != to; ++it) {
    if (it->first.index() == limit.index()) add(it->second);
  }
  return out;
}

}  // namespace carrel::retrieval
