// Conditions on a document's attributes.
//
// A comparison with a key that the document lacks, or with a value of another type, does not hold; NE and NIN, which
// say what it must not be, do. GT, GTE, LT and LTE order numbers, and texts by bytes; flags have no order.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "retrieval/types.h"

namespace carrel::retrieval {

struct Filter;

struct Comparison {
  enum class Operator : uint8_t { kEq = 1, kNe, kGt, kGte, kLt, kLte, kIn, kNin };
  std::string key;
  Operator op = Operator::kEq;
  std::vector<AttributeValue> values;  // one, or for kIn and kNin one or more
};

struct Compound {
  enum class Operator : uint8_t { kAnd = 1, kOr };
  Operator op = Operator::kAnd;
  std::vector<Filter> filters;
};

struct Filter {
  std::variant<Comparison, Compound> kind;
};

// Two filters have the same key exactly when they say the same in the same order.
[[nodiscard]] std::string FilterKey(const Filter& filter);

[[nodiscard]] bool Holds(const Filter& filter, const Attributes& attributes);

}  // namespace carrel::retrieval
