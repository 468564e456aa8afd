// Request bodies, checked: what comes out is well-formed and within OpenAI's limits, or an error of types/error.h that
// names the parameter. Under v2 a parameter that does not exist is an error, as there; v1's own are read under v1 only.
//
// `body` is the text of the request; "" is {} where the reference allows no body at all.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/openai/version.h"
#include "gateway/types/assistant.h"
#include "gateway/types/container.h"
#include "gateway/types/file.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"
#include "gateway/types/upload.h"

namespace carrel::gateway::openai {

absl::StatusOr<NewAssistant> ParseNewAssistant(std::string_view body, ApiVersion version);
absl::StatusOr<AssistantChange> ParseAssistantChange(std::string_view body, ApiVersion version);
absl::StatusOr<FileId> ParseAssistantFile(std::string_view body);

absl::StatusOr<NewThread> ParseNewThread(std::string_view body, ApiVersion version);
absl::StatusOr<ThreadChange> ParseThreadChange(std::string_view body, ApiVersion version);
absl::StatusOr<NewMessage> ParseNewMessage(std::string_view body, ApiVersion version);
// The body of everything of which only the metadata can be changed; absent: leave it.
absl::StatusOr<std::optional<Metadata>> ParseMetadataChange(std::string_view body, ApiVersion version);

struct RunRequest {
  NewRun run;
  bool stream = false;
};
struct ThreadRunRequest {
  NewThread thread;
  NewRun run;
  bool stream = false;
};
struct ToolOutputsRequest {
  std::vector<ToolOutput> outputs;
  bool stream = false;
};
absl::StatusOr<RunRequest> ParseNewRun(std::string_view body, ApiVersion version);
absl::StatusOr<ThreadRunRequest> ParseNewThreadRun(std::string_view body, ApiVersion version);
absl::StatusOr<ToolOutputsRequest> ParseToolOutputs(std::string_view body);

absl::StatusOr<NewStore> ParseNewStore(std::string_view body);
// `carrel`: the request has the header X-Carrel, and may say more in "x_carrel".
absl::StatusOr<StoreChange> ParseStoreChange(std::string_view body, bool carrel);
absl::StatusOr<NewStoreFile> ParseNewStoreFile(std::string_view body);
absl::StatusOr<std::vector<NewStoreFile>> ParseNewBatch(std::string_view body);
absl::StatusOr<Attributes> ParseAttributesChange(std::string_view body);

// A comparison of an attribute, or a compound of filters; as the search port has it, which this module may not see.
struct Filter {
  std::string type;  // "eq", …, "and", "or"
  std::string key;
  std::vector<AttributeValue> values;
  std::vector<Filter> filters;
};
struct StoreSearchRequest {
  std::vector<std::string> queries;
  int max_num_results = 10;
  std::optional<Filter> filter;
  RankingOptions ranking;
};
// `carrel`: with what stands in x_carrel.
absl::StatusOr<StoreSearchRequest> ParseStoreSearch(std::string_view body, bool carrel = false);

absl::StatusOr<NewContainer> ParseNewContainer(std::string_view body);
absl::StatusOr<FileId> ParseContainerFile(std::string_view body);

struct UploadCompletion {
  std::vector<PartId> parts;
  std::string md5;  // "": not given
};
absl::StatusOr<NewUpload> ParseNewUpload(std::string_view body);
absl::StatusOr<UploadCompletion> ParseUploadCompletion(std::string_view body);

// A form's nested fields: expires_after[anchor], expires_after[seconds]; "" where one is missing.
absl::StatusOr<std::optional<absl::Duration>> ParseFileExpiry(const std::string& anchor, const std::string& seconds);

}  // namespace carrel::gateway::openai
