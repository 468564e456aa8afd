// Between the library's values and the messages of the contract; and the checks of what comes from outside.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "carrel/retrieval/v1/retrieval.pb.h"
#include "retrieval/search.h"
#include "retrieval/types.h"

namespace carrel::retrieval {

void ToProto(const StoreInfo& store, v1::Store& out);
void ToProto(const DocumentInfo& document, v1::Document& out);
void ToProto(const Citation& citation, v1::Citation& out);
void ToProto(const Hit& hit, v1::Hit& out);

// Each is INVALID_ARGUMENT with the field, the value and what is expected.
[[nodiscard]] absl::Status CheckOwner(const std::string& owner);
[[nodiscard]] absl::Status CheckId(const char* field, const std::string& id);  // given by the caller; not empty
[[nodiscard]] absl::StatusOr<Chunking> ChunkingFrom(const v1::Chunking& chunking);
[[nodiscard]] absl::StatusOr<NewStore> NewStoreFrom(const v1::CreateStoreRequest& request);
[[nodiscard]] absl::StatusOr<Span> CitedSpanFrom(const v1::Span& span);
[[nodiscard]] absl::StatusOr<StoreChange> StoreChangeFrom(const v1::UpdateStoreRequest& request);
[[nodiscard]] absl::StatusOr<NewDocument> NewDocumentFrom(const v1::AddDocumentHeader& header);
[[nodiscard]] absl::StatusOr<DocumentList> DocumentListFrom(const v1::ListDocumentsRequest& request);
[[nodiscard]] absl::StatusOr<Attributes> AttributesFrom(
    const google::protobuf::Map<std::string, v1::AttributeValue>& attributes);
[[nodiscard]] absl::StatusOr<SearchQuery> SearchQueryFrom(const v1::SearchRequest& request);

}  // namespace carrel::retrieval
