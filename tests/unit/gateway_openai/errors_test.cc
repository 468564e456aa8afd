#include "gateway/openai/errors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace carrel::gateway::openai {
namespace {

struct Case {
  Error error;
  int status;
  const char* message;
  const char* code;   // nullptr: null
  const char* param;  // nullptr: null
};

TEST(ErrorsTest, TheWordsAreOpenAis) {
  using Kind = ErrorKind;
  const Case cases[] = {
      {{Kind::kObjectMissing, "", {"thread", "thread_x"}},
       404,
       "No thread found with id 'thread_x'.",
       nullptr,
       nullptr},
      {{Kind::kObjectMissing, "", {"run step", "step_123"}},
       404,
       "No run step found with id 'step_123'.",
       nullptr,
       nullptr},
      {{Kind::kFileMissing, "id", {"file-x"}}, 404, "No such File object: file-x", nullptr, "id"},
      {{Kind::kIdPrefix, "thread_id", {"undefined", "thread"}},
       400,
       "Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'.",
       "invalid_value",
       "thread_id"},
      {{Kind::kMessageWhileRunActive, "", {"thread_x", "run_y"}},
       400,
       "Can't add messages to thread_x while a run run_y is active.",
       nullptr,
       nullptr},
      {{Kind::kThreadHasActiveRun, "", {"thread_x", "run_y"}},
       400,
       "Thread thread_x already has an active run run_y.",
       nullptr,
       nullptr},
      {{Kind::kOutputsNotAccepted, "", {"in_progress"}},
       400,
       "Runs in status \"in_progress\" do not accept tool outputs.",
       nullptr,
       nullptr},
      {{Kind::kOutputsMismatch, "", {"'call_a', 'call_b'", "'call_a'"}},
       400,
       "Expected tool outputs for call_ids ['call_a', 'call_b'], got ['call_a']",
       nullptr,
       nullptr},
      {{Kind::kRunNotCancellable, "", {"completed"}},
       400,
       "Cannot cancel run with status 'completed'.",
       nullptr,
       nullptr},
      {{Kind::kEmptyThread, "", {}},
       400,
       "Run creation requires a Thread with a user message or an assistant with instructions.",
       "invalid_thread",
       nullptr},
      {{Kind::kWrongType, "metadata.modified", {"a string", "a boolean"}},
       400,
       "Invalid type for 'metadata.modified': expected a string, but got a boolean instead.",
       "invalid_type",
       "metadata.modified"},
      {{Kind::kParameterMissing, "model", {}},
       400,
       "Missing required parameter: 'model'.",
       "missing_required_parameter",
       "model"},
      {{Kind::kParameterUnknown, "messages[0].id", {}},
       400,
       "Unknown parameter: 'messages[0].id'.",
       "unknown_parameter",
       "messages[0].id"},
      {{Kind::kInvalidValue, "tools[0].type", {"retrieval", "code_interpreter", "function", "file_search"}},
       400,
       "Invalid value: 'retrieval'. Supported values are: 'code_interpreter', 'function', and 'file_search'.",
       "invalid_value",
       "tools[0].type"},
      {{Kind::kNumberAboveMax, "limit", {"integer", "100", "101"}},
       400,
       "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
       "integer_above_max_value",
       "limit"},
      {{Kind::kPurpose, "purpose", {"world_domination"}},
       400,
       "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - "
       "'purpose'",
       nullptr,
       "purpose"},
      {{Kind::kUnsupportedModel, "model", {"x"}},
       400,
       "The requested model 'x' cannot be used with the Assistants API.",
       "unsupported_model",
       "model"},
  };
  for (const Case& c : cases) {
    HttpError rendered = RenderError(ToStatus(c.error), "req_1");
    EXPECT_EQ(rendered.status, c.status) << c.message;
    nlohmann::json error = nlohmann::json::parse(rendered.body)["error"];
    EXPECT_EQ(error["message"], c.message);
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_EQ(error["code"], c.code == nullptr ? nlohmann::json(nullptr) : nlohmann::json(c.code)) << c.message;
    EXPECT_EQ(error["param"], c.param == nullptr ? nlohmann::json(nullptr) : nlohmann::json(c.param)) << c.message;
  }
}

TEST(ErrorsTest, OurOwnFaultsTellTheClientNothingButTheRequestsId) {
  HttpError rendered = RenderError(absl::InternalError("the table of secrets is corrupt"), "req_1");
  EXPECT_EQ(rendered.status, 500);
  EXPECT_EQ(rendered.body.find("secrets"), std::string::npos);
  EXPECT_NE(rendered.body.find("req_1"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(rendered.body)["error"]["type"], "server_error");
  EXPECT_EQ(RenderError(absl::UnavailableError("no retrieval service"), "req_1").status, 503);
}

TEST(ErrorsTest, EveryKindSurvivesTheStatus) {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::kServerError); ++kind) {
    Error error{static_cast<ErrorKind>(kind), "p:1", {"a", "", "3:x"}};
    EXPECT_EQ(ErrorOf(ToStatus(error)), error);
  }
  EXPECT_EQ(ErrorOf(absl::InternalError("x")), std::nullopt);
}

}  // namespace
}  // namespace carrel::gateway::openai
