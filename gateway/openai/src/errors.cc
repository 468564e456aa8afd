#include "gateway/openai/errors.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace carrel::gateway::openai {
namespace {

using Json = nlohmann::ordered_json;

struct Words {
  int status = 400;
  std::string message;
  std::string code;  // "": null
  std::string type = "invalid_request_error";
};

std::string Arg(const Error& error, size_t index) { return index < error.args.size() ? error.args[index] : ""; }

// "'a', 'b', and 'c'"
std::string Listed(const std::vector<std::string>& values, size_t from) {
  std::vector<std::string> quoted;
  for (size_t i = from; i < values.size(); ++i) quoted.push_back("'" + values[i] + "'");
  if (quoted.size() <= 1) return quoted.empty() ? "" : quoted.front();
  if (quoted.size() == 2) return quoted[0] + " and " + quoted[1];
  std::string last = quoted.back();
  quoted.pop_back();
  return absl::StrJoin(quoted, ", ") + ", and " + last;
}

std::string InvalidValue(const Error& error) {
  if (error.args.size() > 1) {
    return absl::StrCat("Invalid value: '", Arg(error, 0), "'. Supported values are: ", Listed(error.args, 1), ".");
  }
  return absl::StrCat("Invalid value for '", error.param, "': '", Arg(error, 0), "'.");
}

std::string TooLong(const Error& error, const char* what, const char* unit) {
  return absl::StrCat("Invalid '", error.param, "': ", what, " too long. Expected ", unit, " with maximum length ",
                      Arg(error, 0), ", but got ", unit, " with length ", Arg(error, 1), " instead.");
}

std::string UnsupportedFile(const Error& error) {
  return absl::StrCat("Files with extensions [", Arg(error, 0),
                      "] are not supported for retrieval. See "
                      "https://platform.openai.com/docs/assistants/tools/file-search/supported-files");
}

Words WordsOf(const Error& error) {
  const std::string a = Arg(error, 0);
  const std::string b = Arg(error, 1);
  switch (error.kind) {
    case ErrorKind::kObjectMissing:
      return {404, absl::StrCat("No ", a, " found with id '", b, "'."), ""};
    case ErrorKind::kFileMissing:
      return {404, absl::StrCat("No such File object: ", a), ""};
    case ErrorKind::kIdPrefix:
      return {400, absl::StrCat("Invalid '", error.param, "': '", a, "'. Expected an ID that begins with '", b, "'."),
              "invalid_value"};
    case ErrorKind::kMessageWhileRunActive:
      return {400, absl::StrCat("Can't add messages to ", a, " while a run ", b, " is active."), ""};
    case ErrorKind::kThreadHasActiveRun:
      return {400, absl::StrCat("Thread ", a, " already has an active run ", b, "."), ""};
    case ErrorKind::kOutputsNotAccepted:
      return {400, absl::StrCat("Runs in status \"", a, "\" do not accept tool outputs."), ""};
    case ErrorKind::kRunNotCancellable:
      return {400, absl::StrCat("Cannot cancel run with status '", a, "'."), ""};
    case ErrorKind::kOutputsMismatch:
      return {400, absl::StrCat("Expected tool outputs for call_ids [", a, "], got [", b, "]"), ""};
    case ErrorKind::kEmptyThread:
      return {400, "Run creation requires a Thread with a user message or an assistant with instructions.",
              "invalid_thread"};
    case ErrorKind::kWrongType:
      return {400, absl::StrCat("Invalid type for '", error.param, "': expected ", a, ", but got ", b, " instead."),
              "invalid_type"};
    case ErrorKind::kParameterMissing:
      return {400, absl::StrCat("Missing required parameter: '", error.param, "'."), "missing_required_parameter"};
    case ErrorKind::kParameterUnknown:
      return {400, absl::StrCat("Unknown parameter: '", error.param, "'."), "unknown_parameter"};
    case ErrorKind::kInvalidValue:
      return {400, InvalidValue(error), "invalid_value"};
    case ErrorKind::kNumberAboveMax:
      return {400,
              absl::StrCat("Invalid '", error.param, "': ", a, " above maximum value. Expected a value <= ", b,
                           ", but got ", Arg(error, 2), " instead."),
              a + "_above_max_value"};
    case ErrorKind::kNumberBelowMin:
      return {400,
              absl::StrCat("Invalid '", error.param, "': ", a, " below minimum value. Expected a value >= ", b,
                           ", but got ", Arg(error, 2), " instead."),
              a + "_below_min_value"};
    case ErrorKind::kStringTooLong:
      return {400, TooLong(error, "string", "a string"), "string_above_max_length"};
    case ErrorKind::kArrayTooLong:
      return {400, TooLong(error, "array", "an array"), "array_above_max_length"};
    case ErrorKind::kArrayTooShort:
      return {400,
              absl::StrCat("Invalid '", error.param, "': array too short. Expected an array with minimum length ", a,
                           ", but got an array with length ", b, " instead."),
              "array_below_min_length"};
    case ErrorKind::kObjectTooLarge:
      return {400,
              absl::StrCat("Invalid '", error.param, "': too many properties. Expected an object with at most ", a,
                           " properties, but got an object with ", b, " properties instead."),
              "object_above_max_properties"};
    case ErrorKind::kPurpose:
      return {400,
              absl::StrCat("'", a,
                           "' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - "
                           "'purpose'"),
              ""};
    case ErrorKind::kUnsupportedModel:
      return {400, absl::StrCat("The requested model '", a, "' cannot be used with the Assistants API."),
              "unsupported_model"};
    case ErrorKind::kUnsupportedFile:
      return {400, UnsupportedFile(error), "unsupported_file"};
    case ErrorKind::kStoreExpired:
      return {400, absl::StrCat("Vector store ", a, " is expired"), ""};
    case ErrorKind::kNotDownloadable:
      return {400, absl::StrCat("Not allowed to download files of purpose: ", a), ""};
    case ErrorKind::kKeyWrong:
      return {401,
              absl::StrCat("Incorrect API key provided: ", a,
                           ". `carrel keys list` shows the keys there are, `carrel keys create` makes one."),
              "invalid_api_key"};
    case ErrorKind::kKeyMissing:
      return {401,
              "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
              "auth (i.e. Authorization: Bearer YOUR_KEY).",
              ""};
    case ErrorKind::kUrlUnknown:
      return {404, absl::StrCat("Invalid URL (", a, " ", b, ")"), "unknown_url"};
    case ErrorKind::kMethodNotAllowed:
      return {405, absl::StrCat("Not allowed to ", a, " on ", b, "."), "method_not_supported"};
    case ErrorKind::kBodyNotJson:
      return {400, absl::StrCat("We could not parse the JSON body of your request: ", a, "."), ""};
    case ErrorKind::kBodyTooLarge:
      return {413, absl::StrCat("The request is too large: at most ", a, " bytes are read."), "request_too_large"};
    case ErrorKind::kInvalidRequest:
      return {400, a, ""};
    case ErrorKind::kOverloaded:
      return {503, a, "overloaded", "server_error"};
    case ErrorKind::kServerError:
      break;
  }
  return {500, "The server had an error processing your request.", "server_error", "server_error"};
}

Json Envelope(const Words& words, const std::string& param) {
  return {{"message", words.message},
          {"type", words.type},
          {"param", param.empty() ? Json(nullptr) : Json(param)},
          {"code", words.code.empty() ? Json(nullptr) : Json(words.code)}};
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Words ServerWords(const absl::Status& status, const std::string& request_id) {
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    // Which of our own parts does not answer is what the person who runs this needs to know.
    return {503, absl::StrCat("A part of the server cannot be reached: ", std::string(status.message())),
            "service_unavailable", "server_error"};
  }
  return {500,
          absl::StrCat("The server had an error processing your request. Sorry about that! You can retry your request, "
                       "or contact us through our help center at help.openai.com if you keep seeing this error. "
                       "(Please include the request ID ",
                       request_id, " in your email.)"),
          "", "server_error"};
}

}  // namespace

HttpError RenderError(const absl::Status& status, const std::string& request_id) {
  std::optional<Error> error = ErrorOf(status);
  bool ours = !error.has_value() || error->kind == ErrorKind::kServerError;
  Words words = ours ? ServerWords(status, request_id) : WordsOf(*error);
  return {words.status, Dump({{"error", Envelope(words, ours ? "" : error->param)}})};
}

std::string RenderErrorData(const Error& error) { return Dump({{"error", Envelope(WordsOf(error), error.param)}}); }

}  // namespace carrel::gateway::openai
