#include "json_reader.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace carrel::gateway::openai {
namespace {

// Deeper than any request has to be; a parser without this bound can be made to use up the stack.
constexpr int kDepthMax = 128;
// Values take up to thirty times the memory of their text: "[]," is three bytes.
constexpr size_t kValuesMax = 250'000;
constexpr size_t kMetadataPairsMax = 16;
constexpr size_t kMetadataKeyMax = 64;
constexpr size_t kMetadataValueMax = 512;

std::string Shown(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? absl::StrCat(static_cast<int64_t>(value))
                                                              : absl::StrCat(value);
}

// What makes a body costly to parse; "" when nothing does.
std::string Excess(std::string_view body) {
  int depth = 0;
  size_t values = 0;
  bool quoted = false;
  for (size_t i = 0; i < body.size(); ++i) {
    char c = body[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++values;
      if (++depth > kDepthMax) return absl::StrCat("it is nested more than ", kDepthMax, " deep");
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ',') {
      ++values;
    }
    if (values > kValuesMax) return absl::StrCat("it has more than ", kValuesMax, " values");
  }
  return "";
}

// As Python writes a value, which is how v1's metadata came to hold "True".
std::string AsPython(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  return value.dump();
}

}  // namespace

std::string TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_float:
      return "a decimal number";
    default:
      return "an integer";
  }
}

size_t LengthOf(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

absl::StatusOr<Json> ParseBody(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return Json::object();
  if (std::string excess = Excess(body); !excess.empty()) return MakeError(ErrorKind::kBodyNotJson, "", {excess});
  Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) return MakeError(ErrorKind::kBodyNotJson, "", {"the body is not valid JSON"});
  if (!json.is_object()) {
    return MakeError(ErrorKind::kBodyNotJson, "", {"expected an object, but got " + TypeName(json)});
  }
  return json;
}

bool CheckType(const Json& value, bool ok, const char* expected, const std::string& path, absl::Status& error) {
  if (!ok && error.ok()) error = MakeError(ErrorKind::kWrongType, path, {expected, TypeName(value)});
  return ok;
}

ObjectReader::ObjectReader(const Json& object, std::string path, absl::Status& error)
    : object_(object), path_(std::move(path)), error_(error) {
  CheckType(object_, object_.is_object(), "an object", path_, error_);
}

std::string ObjectReader::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

void ObjectReader::Fail(ErrorKind kind, std::string param, std::vector<std::string> args) const {
  if (error_.ok()) error_ = MakeError(kind, std::move(param), std::move(args));
}

const Json* ObjectReader::Find(const char* name) {
  known_.insert(name);
  if (!object_.is_object()) return nullptr;
  auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> ObjectReader::Text(const char* name, size_t length_max) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_string(), "a string", PathOf(name), error_)) return std::nullopt;
  std::string text = value->get<std::string>();
  size_t length = length_max == SIZE_MAX ? 0 : LengthOf(text);
  if (length > length_max) {
    Fail(ErrorKind::kStringTooLong, PathOf(name), {absl::StrCat(length_max), absl::StrCat(length)});
  }
  return text;
}

std::string ObjectReader::RequiredText(const char* name, size_t length_max) {
  std::optional<std::string> text = Text(name, length_max);
  // What is empty names nothing: a model, an id.
  if (!text.has_value() || text->empty()) Missing(name);
  return std::move(text).value_or("");
}

std::optional<double> ObjectReader::Number(const char* name, NumberRange range) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_number(), "a decimal number", PathOf(name), error_)) {
    return std::nullopt;
  }
  double number = value->get<double>();
  if (number > range.max) {
    Fail(ErrorKind::kNumberAboveMax, PathOf(name), {"decimal", Shown(range.max), Shown(number)});
  } else if (number < range.min) {
    Fail(ErrorKind::kNumberBelowMin, PathOf(name), {"decimal", Shown(range.min), Shown(number)});
  }
  return number;
}

std::optional<int64_t> ObjectReader::Integer(const char* name, NumberRange range) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_number_integer(), "an integer", PathOf(name), error_)) {
    return std::nullopt;
  }
  // Compared as doubles: a number that is too large for 64 bits is above every maximum all the same.
  double number = value->get<double>();
  if (number > std::min(range.max, 9e18)) {
    Fail(ErrorKind::kNumberAboveMax, PathOf(name), {"integer", Shown(range.max), value->dump()});
    return std::nullopt;
  }
  if (number < std::max(range.min, -9e18)) {
    Fail(ErrorKind::kNumberBelowMin, PathOf(name), {"integer", Shown(range.min), value->dump()});
    return std::nullopt;
  }
  return value->get<int64_t>();
}

std::optional<bool> ObjectReader::Flag(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_boolean(), "a boolean", PathOf(name), error_)) {
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> ObjectReader::Choice(const char* name, std::initializer_list<const char*> values) {
  std::optional<std::string> text = Text(name);
  if (!text.has_value()) return std::nullopt;
  if (std::find(values.begin(), values.end(), *text) == values.end()) {
    std::vector<std::string> args{*text};
    args.insert(args.end(), values.begin(), values.end());
    Fail(ErrorKind::kInvalidValue, PathOf(name), std::move(args));
  }
  return text;
}

std::optional<ObjectReader> ObjectReader::Object(const char* name) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_object(), "an object", PathOf(name), error_)) {
    return std::nullopt;
  }
  return ObjectReader(*value, PathOf(name), error_);
}

std::optional<std::vector<std::pair<const Json*, std::string>>> ObjectReader::Array(const char* name,
                                                                                    size_t length_max) {
  const Json* value = Find(name);
  if (value == nullptr || !CheckType(*value, value->is_array(), "an array", PathOf(name), error_)) return std::nullopt;
  if (value->size() > length_max) {
    Fail(ErrorKind::kArrayTooLong, PathOf(name), {absl::StrCat(length_max), absl::StrCat(value->size())});
  }
  std::vector<std::pair<const Json*, std::string>> items;
  for (size_t i = 0; i < value->size(); ++i) items.emplace_back(&(*value)[i], absl::StrCat(PathOf(name), "[", i, "]"));
  return items;
}

std::optional<std::vector<std::string>> ObjectReader::Texts(const char* name, size_t length_max) {
  auto items = Array(name, length_max);
  if (!items.has_value()) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& [value, path] : *items) {
    if (CheckType(*value, value->is_string(), "a string", path, error_)) texts.push_back(value->get<std::string>());
  }
  return texts;
}

std::optional<Metadata> ObjectReader::ReadMetadata(ApiVersion version) {
  const Json* value = Find("metadata");
  const std::string path = PathOf("metadata");
  if (value == nullptr || !CheckType(*value, value->is_object(), "an object", path, error_)) return std::nullopt;
  if (value->size() > kMetadataPairsMax) {
    Fail(ErrorKind::kObjectTooLarge, path, {absl::StrCat(kMetadataPairsMax), absl::StrCat(value->size())});
  }
  Metadata metadata;
  for (const auto& [key, item] : value->items()) {
    const std::string at = path + "." + key;
    if (version == ApiVersion::kV2 && !CheckType(item, item.is_string(), "a string", at, error_)) continue;
    std::string text = AsPython(item);
    size_t length = LengthOf(text);
    if (LengthOf(key) > kMetadataKeyMax) {
      Fail(ErrorKind::kStringTooLong, at, {absl::StrCat(kMetadataKeyMax), absl::StrCat(LengthOf(key))});
    } else if (length > kMetadataValueMax) {
      Fail(ErrorKind::kStringTooLong, at, {absl::StrCat(kMetadataValueMax), absl::StrCat(length)});
    }
    metadata[key] = std::move(text);
  }
  return metadata;
}

std::optional<Attributes> ObjectReader::ReadAttributes() {
  const Json* value = Find("attributes");
  const std::string path = PathOf("attributes");
  if (value == nullptr || !CheckType(*value, value->is_object(), "an object", path, error_)) return std::nullopt;
  if (value->size() > kMetadataPairsMax) {
    Fail(ErrorKind::kObjectTooLarge, path, {absl::StrCat(kMetadataPairsMax), absl::StrCat(value->size())});
  }
  Attributes attributes;
  for (const auto& [key, item] : value->items()) {
    const std::string at = path + "." + key;
    if (key.empty() || LengthOf(key) > kMetadataKeyMax) {
      Fail(ErrorKind::kInvalidRequest, path,
           {absl::StrCat("Keys of attributes take 1 to ", kMetadataKeyMax, " characters.")});
      continue;
    }
    bool scalar = item.is_string() || item.is_number() || item.is_boolean();
    if (!CheckType(item, scalar, "one of a string, a number, or a boolean", at, error_)) continue;
    if (item.is_string() && LengthOf(item.get<std::string>()) > kMetadataValueMax) {
      Fail(ErrorKind::kStringTooLong, at,
           {absl::StrCat(kMetadataValueMax), absl::StrCat(LengthOf(item.get<std::string>()))});
    }
    if (item.is_boolean()) {
      attributes[key] = item.get<bool>();
    } else if (item.is_number()) {
      attributes[key] = item.get<double>();
    } else {
      attributes[key] = item.get<std::string>();
    }
  }
  return attributes;
}

void ObjectReader::Finish() {
  if (!object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    if (!known_.contains(key)) Fail(ErrorKind::kParameterUnknown, PathOf(key), {});
  }
}

}  // namespace carrel::gateway::openai
