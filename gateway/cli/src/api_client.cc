#include "api_client.h"

#include <utility>

#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr size_t kObjectsMax = 100'000;
constexpr size_t kErrorBytesMax = 300;

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case 400:
    case 405:
    case 411:
    case 415:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kFailedPrecondition;
    case 413:
    case 429:
    case 431:
      return absl::StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    case 408:
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusOr<Json> Parse(const HttpReply& reply) {
  Json value = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (value.is_object()) return value;
  return absl::InternalError(
      StrCat("the server's answer is no JSON object: ", SafeText(reply.body.substr(0, kErrorBytesMax), false)));
}

}  // namespace

std::string Text(const Json& value, std::string_view key) {
  const Json& found = Below(value, key);
  return found.is_string() ? found.get<std::string>() : "";
}

uint64_t Count(const Json& value, std::string_view key) {
  const Json& found = Below(value, key);
  return found.is_number_unsigned() ? found.get<uint64_t>() : 0;
}

const Json& Below(const Json& value, std::string_view key) {
  static const Json kNothing;
  if (!value.is_object()) return kNothing;
  const auto found = value.find(std::string(key));
  return found == value.end() ? kNothing : *found;
}

std::string Dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

absl::Status ErrorOf(const HttpReply& reply) {
  const Json value = Json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  std::string message = Text(Below(value, "error"), "message");
  if (message.empty()) message = SafeText(reply.body.substr(0, kErrorBytesMax), false);
  if (message.empty()) message = StrCat("the server answered with status ", reply.status);
  absl::Status status(CodeOf(reply.status), message);
  const std::string field = Text(Below(value, "error"), "param");
  if (field.empty()) return status;
  common::v1::ErrorDetail detail;
  detail.set_field(field);
  return rpc::WithDetail(std::move(status), detail);
}

absl::StatusOr<HttpReply> ApiClient::Perform(const HttpRequest& request) {
  HttpRequest ticking = request;
  if (!ticking.tick) ticking.tick = tick_;
  auto reply = http_.Perform(ticking);
  if (!reply.ok()) return reply;
  if (reply->status < 200 || reply->status >= 300) return ErrorOf(*reply);
  return reply;
}

absl::StatusOr<Json> ApiClient::Call(const std::string& method, const std::string& path, std::string body) {
  const auto reply = Perform({.method = method, .path = path, .json = std::move(body)});
  if (!reply.ok()) return reply.status();
  return Parse(*reply);
}

absl::StatusOr<Json> ApiClient::Post(const std::string& path, const Json& body) {
  return Call("POST", path, body.is_null() ? "" : Dump(body));
}

absl::StatusOr<std::vector<Json>> ApiClient::List(const std::string& path, const std::string& query) {
  std::vector<Json> objects;
  for (std::string after;;) {
    const auto page = Get(StrCat(path, "?limit=100", query.empty() ? "" : "&", query, after));
    if (!page.ok()) return page.status();
    const Json& data = Below(*page, "data");
    for (const Json& object : data) objects.push_back(object);
    const Json& more = Below(*page, "has_more");
    if (!more.is_boolean() || !more.get<bool>() || data.empty()) return objects;
    if (objects.size() >= kObjectsMax) {
      return absl::ResourceExhaustedError(StrCat(path, " has more than ", kObjectsMax, " objects"));
    }
    after = StrCat("&after=", EncodeUrl(Text(objects.back(), "id")));
  }
}

absl::StatusOr<Json> ApiClient::UploadFile(const std::string& path, const std::string& name, Console& console) {
  const auto reply =
      Perform({.method = "POST",
               .path = "/v1/files",
               .fields = {{"purpose", "assistants"}},
               .file = path,
               .file_name = name,
               .progress = [&](uint64_t sent, uint64_t all) {
                 console.Progress(StrCat("uploading ", path, ": ", HumanBytes(sent), " of ", HumanBytes(all)));
               }});
  if (!reply.ok()) return reply.status();
  return Parse(*reply);
}

absl::Status ApiClient::DownloadFile(const std::string& file_id,
                                     absl::FunctionRef<absl::Status(std::string_view)> sink) {
  return Perform({.path = StrCat("/v1/files/", EncodeUrl(file_id), "/content"),
                  .sink = [&sink](std::string_view bytes) { return sink(bytes); }})
      .status();
}

}  // namespace carrel::cli
