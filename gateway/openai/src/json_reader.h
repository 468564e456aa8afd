// Reads the members of a JSON object, each checked, and remembers the first thing that is wrong.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/openai/version.h"
#include "gateway/types/error.h"
#include "gateway/types/values.h"

namespace carrel::gateway::openai {

using Json = nlohmann::json;

struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

// "a string", "an integer", … as the messages have it.
std::string TypeName(const Json& value);

class ObjectReader {
 public:
  // `path` is where the object stands in the request ("tools[0]"); "" is the request itself. `error` is shared by all
  // readers of a request and keeps the first error.
  ObjectReader(const Json& object, std::string path, absl::Status& error);

  std::string PathOf(std::string_view name) const;
  absl::Status& error() const { return error_; }
  void Fail(ErrorKind kind, std::string param, std::vector<std::string> args) const;

  // The member, nullptr when it is absent or null. Every call makes `name` a parameter that exists.
  const Json* Find(const char* name);
  // The member is there, null or not.
  bool Has(const char* name) const { return object_.is_object() && object_.contains(name); }

  std::optional<std::string> Text(const char* name, size_t length_max = SIZE_MAX);
  std::string RequiredText(const char* name, size_t length_max = SIZE_MAX);
  std::optional<double> Number(const char* name, NumberRange range);
  std::optional<int64_t> Integer(const char* name, NumberRange range);
  std::optional<bool> Flag(const char* name);
  // One of `values`.
  std::optional<std::string> Choice(const char* name, std::initializer_list<const char*> values);
  std::optional<ObjectReader> Object(const char* name);
  // Its elements with their paths; nullopt: absent.
  std::optional<std::vector<std::pair<const Json*, std::string>>> Array(const char* name, size_t length_max = SIZE_MAX);
  std::optional<std::vector<std::string>> Texts(const char* name, size_t length_max);
  void Missing(const char* name) const { Fail(ErrorKind::kParameterMissing, PathOf(name), {}); }
  // v1 made strings of other scalars.
  std::optional<Metadata> ReadMetadata(ApiVersion version);
  std::optional<Attributes> ReadAttributes();

  // Complains of members that nobody asked for.
  void Finish();

 private:
  const Json& object_;
  std::string path_;
  absl::Status& error_;
  std::set<std::string> known_;
};

// Of a request's body; "" is {}.
absl::StatusOr<Json> ParseBody(std::string_view body);
// Code points.
size_t LengthOf(std::string_view text);
// An element of an array that must be a string or an object: the error otherwise.
bool CheckType(const Json& value, bool ok, const char* expected, const std::string& path, absl::Status& error);

}  // namespace carrel::gateway::openai
