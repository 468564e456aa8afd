#include "search_filter.h"

#include <string_view>
#include <utility>

namespace carrel::gateway::http {

SearchFilter FilterOf(const openai::Filter& filter) {
  using Op = SearchFilter::Op;
  constexpr std::pair<std::string_view, Op> kOps[] = {
      {"eq", Op::kEq},   {"ne", Op::kNe}, {"gt", Op::kGt},   {"gte", Op::kGte}, {"lt", Op::kLt},
      {"lte", Op::kLte}, {"in", Op::kIn}, {"nin", Op::kNin}, {"and", Op::kAnd}, {"or", Op::kOr}};
  SearchFilter out{.key = filter.key, .values = filter.values};
  for (const auto& [name, op] : kOps) {
    if (filter.type == name) out.op = op;
  }
  for (const openai::Filter& inner : filter.filters) out.filters.push_back(FilterOf(inner));
  return out;
}

}  // namespace carrel::gateway::http
