#include "filter_message.h"

#include <string>
#include <variant>

namespace carrel::gateway {

namespace pb = carrel::retrieval::v1;

void WriteValue(const AttributeValue& value, pb::AttributeValue& out) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    out.set_text(*text);
  } else if (const auto* number = std::get_if<double>(&value)) {
    out.set_number(*number);
  } else {
    out.set_flag(std::get<bool>(value));
  }
}

void WriteFilter(const SearchFilter& filter, pb::Filter& out) {
  using Op = SearchFilter::Op;
  if (filter.op == Op::kAnd || filter.op == Op::kOr) {
    out.mutable_compound()->set_op(filter.op == Op::kAnd ? pb::Compound::AND : pb::Compound::OR);
    for (const SearchFilter& inner : filter.filters) WriteFilter(inner, *out.mutable_compound()->add_filters());
    return;
  }
  pb::Comparison& comparison = *out.mutable_comparison();
  comparison.set_key(filter.key);
  for (const AttributeValue& value : filter.values) WriteValue(value, *comparison.add_values());
  switch (filter.op) {
    case Op::kEq:
      comparison.set_op(pb::Comparison::EQ);
      break;
    case Op::kNe:
      comparison.set_op(pb::Comparison::NE);
      break;
    case Op::kGt:
      comparison.set_op(pb::Comparison::GT);
      break;
    case Op::kGte:
      comparison.set_op(pb::Comparison::GTE);
      break;
    case Op::kLt:
      comparison.set_op(pb::Comparison::LT);
      break;
    case Op::kLte:
      comparison.set_op(pb::Comparison::LTE);
      break;
    case Op::kIn:
      comparison.set_op(pb::Comparison::IN);
      break;
    case Op::kNin:
      comparison.set_op(pb::Comparison::NIN);
      break;
    case Op::kAnd:
    case Op::kOr:
      break;
  }
}

}  // namespace carrel::gateway
