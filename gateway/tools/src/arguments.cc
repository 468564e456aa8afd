#include "gateway/tools/arguments.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kQueriesMax = 8;

absl::Status Wrong(const std::string& what, const std::string& right) {
  return absl::InvalidArgumentError(absl::StrCat("Error: ", what, " Call the tool again with ", right));
}

constexpr char kRightCode[] = R"__(a JSON object such as {"code": "print(1)"}.)__";
constexpr char kRightQuery[] = R"__(a JSON object such as {"query": "what to look for"}.)__";

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

}  // namespace

std::string StringMemberReader::Feed(std::string_view piece) {
  std::string out;
  for (const char c : piece) Take(c, out);
  return out;
}

void StringMemberReader::AddUnit(uint32_t unit, std::string& decoded) {
  if (unit >= 0xD800 && unit < 0xDC00) {
    high_surrogate_ = unit;
    return;
  }
  if (unit >= 0xDC00 && unit < 0xE000) {
    if (high_surrogate_ != 0) AppendUtf8(0x10000 + ((high_surrogate_ - 0xD800) << 10) + (unit - 0xDC00), decoded);
    high_surrogate_ = 0;
    return;
  }
  high_surrogate_ = 0;
  AppendUtf8(unit, decoded);
}

bool StringMemberReader::TakeInString(char c, std::string& decoded) {
  if (hex_left_ > 0) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : 0;
    hex_ = hex_ * 16 + digit;
    if (--hex_left_ == 0) AddUnit(hex_, decoded);
    return false;
  }
  if (escaped_) {
    escaped_ = false;
    switch (c) {
      case 'n':
        decoded += '\n';
        break;
      case 't':
        decoded += '\t';
        break;
      case 'r':
        decoded += '\r';
        break;
      case 'b':
        decoded += '\b';
        break;
      case 'f':
        decoded += '\f';
        break;
      case 'u':
        hex_left_ = 4;
        hex_ = 0;
        break;
      default:
        decoded += c;
    }
    return false;
  }
  if (c == '"') return true;
  if (c == '\\') {
    escaped_ = true;
  } else {
    decoded += c;
  }
  return false;
}

void StringMemberReader::Take(char c, std::string& out) {
  const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
  switch (state_) {
    case State::kStart:
      if (!space) state_ = c == '{' ? State::kBeforeKey : State::kDone;
      return;
    case State::kBeforeKey:
      if (c == '"') {
        key_.clear();
        state_ = State::kKey;
      } else if (!space && c != ',') {
        state_ = State::kDone;
      }
      return;
    case State::kKey:
      if (TakeInString(c, key_)) state_ = State::kAfterKey;
      return;
    case State::kAfterKey:
      if (!space) state_ = c == ':' ? State::kBeforeValue : State::kDone;
      return;
    case State::kBeforeValue:
      if (space) return;
      depth_ = c == '{' || c == '[' ? 1 : 0;
      state_ = c != '"' ? State::kOther : key_ == name_ ? State::kOurs : State::kOtherString;
      return;
    case State::kOurs:
      if (TakeInString(c, out)) state_ = State::kDone;
      return;
    case State::kOtherString: {
      std::string ignored;
      if (TakeInString(c, ignored)) state_ = State::kBeforeKey;
      return;
    }
    case State::kOther:
      if (in_skipped_string_) {
        std::string ignored;
        if (TakeInString(c, ignored)) in_skipped_string_ = false;
      } else if (c == '"') {
        in_skipped_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if ((c == '}' || c == ']') && depth_ > 0) {
        --depth_;
      } else if (c == ',' && depth_ == 0) {
        state_ = State::kBeforeKey;
      }
      return;
    case State::kDone:
      return;
  }
}

absl::StatusOr<std::string> ReadCode(std::string_view arguments) {
  const Json json = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Wrong("the arguments are not a JSON object.", kRightCode);
  const auto code = json.find("code");
  if (code == json.end() || !code->is_string()) return Wrong("the string \"code\" is missing.", kRightCode);
  return code->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> ReadQueries(std::string_view arguments) {
  const Json json = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Wrong("the arguments are not a JSON object.", kRightQuery);
  std::vector<std::string> queries;
  for (const char* key : {"query", "queries"}) {
    const auto value = json.find(key);
    if (value == json.end()) continue;
    if (value->is_string()) queries.push_back(value->get<std::string>());
    if (value->is_array()) {
      for (const Json& query : *value) {
        if (query.is_string()) queries.push_back(query.get<std::string>());
      }
    }
  }
  std::erase_if(queries, [](const std::string& query) { return query.find_first_not_of(" \t\r\n") == query.npos; });
  if (queries.empty()) return Wrong("the string \"query\" is missing.", kRightQuery);
  if (queries.size() > kQueriesMax) queries.resize(kQueriesMax);
  return queries;
}

absl::Status CheckArguments(std::string_view arguments) {
  if (Json::parse(arguments, nullptr, /*allow_exceptions=*/false).is_object()) return absl::OkStatus();
  return Wrong("the arguments are not a JSON object.", "a JSON object that follows the function's schema.");
}

JsonText CodeParameters() {
  return {
      R"({"type":"object","properties":{"code":{"type":"string","description":"Python code."}},"required":["code"]})"};
}

JsonText SearchParameters() {
  return {
      R"({"type":"object","properties":{"query":{"type":"string","description":"What to look for, in natural language."}},"required":["query"]})"};
}

std::string WriteCodeArguments(std::string_view code) {
  return Json{{"code", std::string(code)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string WriteBrokenArguments(std::string_view arguments) {
  constexpr std::size_t kLongest = 2000;
  return Json{{"broken_arguments", std::string(arguments.substr(0, kLongest))}}.dump(-1, ' ', false,
                                                                                     Json::error_handler_t::replace);
}

}  // namespace carrel::gateway
