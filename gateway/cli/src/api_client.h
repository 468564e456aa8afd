// The gateway's API as JSON values: OpenAI's objects in, its errors as statuses.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cli/console.h"
#include "cli/http_client.h"

namespace carrel::cli {

using Json = nlohmann::json;

// Reads of a value that a server sent, which may be anything: a default where there is none of that kind.
[[nodiscard]] std::string Text(const Json& value, std::string_view key);
[[nodiscard]] uint64_t Count(const Json& value, std::string_view key);
// An object or array below it; null when there is none.
[[nodiscard]] const Json& Below(const Json& value, std::string_view key);

// One line; what is not UTF-8 is replaced.
[[nodiscard]] std::string Dump(const Json& value);

// The status of an answer that is not 2xx: OpenAI's {"error":{"message"}}, else the beginning of the body.
[[nodiscard]] absl::Status ErrorOf(const HttpReply& reply);

class ApiClient final {
 public:
  explicit ApiClient(HttpTarget target) : http_(std::move(target)) {}

  [[nodiscard]] absl::StatusOr<Json> Get(const std::string& path) { return Call("GET", path, ""); }
  [[nodiscard]] absl::StatusOr<Json> Post(const std::string& path, const Json& body);
  [[nodiscard]] absl::StatusOr<Json> Delete(const std::string& path) { return Call("DELETE", path, ""); }
  // All pages of a list, the newest first unless `query` ("order=asc&…") says otherwise; at most 100000 objects.
  [[nodiscard]] absl::StatusOr<std::vector<Json>> List(const std::string& path, const std::string& query = "");
  // A file becomes a file object with the purpose "assistants"; a progress line on a terminal.
  [[nodiscard]] absl::StatusOr<Json> UploadFile(const std::string& path, const std::string& name, Console& console);
  // The bytes of a file object.
  [[nodiscard]] absl::Status DownloadFile(const std::string& file_id,
                                          absl::FunctionRef<absl::Status(std::string_view)> sink);
  // For what these do not cover: a request as it is, its answer a status or a reply.
  [[nodiscard]] absl::StatusOr<HttpReply> Perform(const HttpRequest& request);
  [[nodiscard]] const HttpTarget& target() const { return http_.target(); }
  // For all requests that bring no tick of their own (HttpRequest::tick): what ends a transfer on Ctrl-C.
  void SetTick(std::function<absl::Status()> tick) { tick_ = std::move(tick); }

 private:
  [[nodiscard]] absl::StatusOr<Json> Call(const std::string& method, const std::string& path, std::string body);

  HttpClient http_;
  std::function<absl::Status()> tick_;
};

}  // namespace carrel::cli
