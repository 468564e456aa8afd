// Values of the retrieval contract and of the gateway, one into the other.
#pragma once

#include "absl/status/statusor.h"
#include "carrel/retrieval/v1/retrieval.pb.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

TextSpan FromProto(const retrieval::v1::Span& span);
Citation FromProto(const retrieval::v1::Citation& citation);
AttributeValue FromProto(const retrieval::v1::AttributeValue& value);
RankingOptions FromProto(const retrieval::v1::Ranking& ranking);
// INVALID_ARGUMENT, with the field: a filter without a kind or an operator, nested more than 8 deep. Its other limits
// are checked by the service behind.
absl::StatusOr<SearchFilter> FromProto(const retrieval::v1::Filter& filter);

retrieval::v1::Citation ToProto(const Citation& citation);
retrieval::v1::AttributeValue ToProto(const AttributeValue& value);
retrieval::v1::Filter ToProto(const SearchFilter& filter);

}  // namespace carrel::gateway
