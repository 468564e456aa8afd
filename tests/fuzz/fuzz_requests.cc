// Bodies of requests, for every route and both versions. Promised: a value within its limits, or an error that has its
// words and is valid JSON as the client gets it.
#include <nlohmann/json.hpp>

#include "fuzzer.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/requests.h"
#include "gateway/openai/responses.h"
#include "gateway/types/error.h"

namespace carrel::fuzz {
namespace {

using namespace gateway;  // NOLINT: one file, one subject

void CheckError(const absl::Status& status) {
  if (status.ok()) return;
  FUZZ_CHECK(ErrorOf(status).has_value());
  openai::HttpError error = openai::RenderError(status, "req_1");
  FUZZ_CHECK(error.status == 400);
  nlohmann::json json = nlohmann::json::parse(error.body, nullptr, false);
  FUZZ_CHECK(!json.is_discarded());
  FUZZ_CHECK(json["error"].size() == 4 && json["error"]["message"].get<std::string>().size() > 10);
}

template <typename T>
void Check(const absl::StatusOr<T>& parsed) {
  CheckError(parsed.status());
}

void CheckMetadata(const Metadata& metadata) {
  FUZZ_CHECK(metadata.size() <= 16);
  for (const auto& [key, value] : metadata) FUZZ_CHECK(key.size() <= 64 * 4 && value.size() <= 512 * 4);
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t which = bytes.Byte();
  const openai::ApiVersion version = (which & 0x80) != 0 ? openai::ApiVersion::kV1 : openai::ApiVersion::kV2;
  const std::string_view body = bytes.Rest();
  switch (which % 16) {
    case 0: {
      auto made = openai::ParseNewAssistant(body, version);
      Check(made);
      if (made.ok()) {
        FUZZ_CHECK(!made->model.empty() && made->tools.size() <= 128);
        CheckMetadata(made->metadata);
      }
      break;
    }
    case 1:
      Check(openai::ParseAssistantChange(body, version));
      break;
    case 2:
      Check(openai::ParseAssistantFile(body));
      break;
    case 3: {
      auto made = openai::ParseNewThread(body, version);
      Check(made);
      if (made.ok()) CheckMetadata(made->metadata);
      break;
    }
    case 4:
      Check(openai::ParseThreadChange(body, version));
      break;
    case 5: {
      auto made = openai::ParseNewMessage(body, version);
      Check(made);
      if (made.ok()) FUZZ_CHECK(!made->content.empty());
      break;
    }
    case 6:
      Check(openai::ParseMetadataChange(body, version));
      break;
    case 7: {
      auto made = openai::ParseNewRun(body, version);
      Check(made);
      if (made.ok()) FUZZ_CHECK(!made->run.assistant_id.empty());
      break;
    }
    case 8:
      Check(openai::ParseNewThreadRun(body, version));
      break;
    case 9:
      Check(openai::ParseToolOutputs(body));
      break;
    case 10:
      Check(openai::ParseNewStore(body));
      break;
    case 11:
      Check(openai::ParseStoreChange(body, version == openai::ApiVersion::kV2));
      break;
    case 12:
      Check(openai::ParseNewStoreFile(body));
      break;
    case 13: {
      auto made = openai::ParseNewBatch(body);
      Check(made);
      if (made.ok()) FUZZ_CHECK(!made->empty() && made->size() <= 4000);
      break;
    }
    case 14:
      Check(openai::ParseAttributesChange(body));
      break;
    default: {
      auto made = openai::ParseStoreSearch(body);
      Check(made);
      if (made.ok()) FUZZ_CHECK(made->max_num_results >= 1 && made->max_num_results <= 50 && !made->queries.empty());
      openai::FindModel(std::string(body), "m");
    }
  }
}

}  // namespace carrel::fuzz
