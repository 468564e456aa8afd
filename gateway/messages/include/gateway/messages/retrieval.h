// What callers of the gateway say in the words of the retrieval contract, as the gateway's values.
#pragma once

#include "absl/status/statusor.h"
#include "carrel/retrieval/v1/retrieval.pb.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

// INVALID_ARGUMENT, with the field: a filter without a kind or an operator, nested more than 8 deep. Its other limits
// are checked by the service behind.
[[nodiscard]] absl::StatusOr<SearchFilter> FilterFrom(const retrieval::v1::Filter& filter);
[[nodiscard]] RankingOptions RankingFrom(const retrieval::v1::Ranking& ranking);
[[nodiscard]] AttributeValue ValueFrom(const retrieval::v1::AttributeValue& value);

}  // namespace carrel::gateway
