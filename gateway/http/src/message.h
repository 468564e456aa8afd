// A request as the routes see it, and what they answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "gateway/openai/responses.h"
#include "gateway/ports/file_store.h"
#include "gateway/ports/run_log.h"
#include "gateway/types/ids.h"

namespace carrel::gateway::http {

// Name and value in the order of the URL, decoded; "include[]" is "include".
class Query {
 public:
  explicit Query(std::string_view text);
  // The first value; nullopt: not there.
  std::optional<std::string> Get(std::string_view name) const;
  std::vector<std::string> All(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// %XX and, where `plus_is_space`, '+'. Bytes that do not form UTF-8 become U+FFFD.
std::string DecodeUrl(std::string_view text, bool plus_is_space);
// Valid UTF-8 as it is; other bytes as if they were Latin-1.
std::string ToUtf8(std::string_view text);

// An upload's parts, the file's bytes already in the store.
struct Upload {
  std::map<std::string, std::string> fields;
  std::optional<std::string> filename;
  std::optional<StoredBlob> file;
};

struct Request {
  std::string method;  // GET also where it came as HEAD
  bool head_only = false;
  std::vector<std::string> allowed;  // methods of a path that has not the one that was asked for
  std::string url_path;              // as it came
  std::string path;                  // below the base, "/threads/…"
  std::map<std::string, std::string> ids;
  Query query{""};
  openai::View view;
  ProjectId project;
  std::string body;
  Upload upload;
  std::string request_id;
  bool admin = false;

  const std::string& Id(const std::string& name) const { return ids.at(name); }
};

struct JsonBody {
  std::string text;
};
// Small enough to be held in memory.
struct BytesBody {
  std::string bytes;
  std::string content_type;
};
struct FileBody {
  std::unique_ptr<BlobReader> reader;
  std::string filename;
};
struct EventStream {
  std::unique_ptr<RunSubscription> events;
  openai::View view;
};

struct Response {
  int status = 200;
  std::variant<JsonBody, BytesBody, FileBody, EventStream> body;
};

}  // namespace carrel::gateway::http
