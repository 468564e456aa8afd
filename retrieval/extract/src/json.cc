#include "json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "block_writer.h"
#include "decode_text.h"

namespace carrel::retrieval::extract {
namespace {

using Json = nlohmann::json;
using wire::ExtractVerdict;

constexpr size_t kKeyBytesMax = 100;
constexpr size_t kPathBytesMax = 400;
// Long lists are cut into lines, each with its path.
constexpr size_t kLineBytes = 1000;

std::string OneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  return line;
}

// The calls of nlohmann's parser, which keeps its own stack on the heap.
class Lines final : public nlohmann::json_sax<Json> {
 public:
  explicit Lines(BlockWriter& out) : out_(out) {}

  bool null() override { return Value("null"); }
  bool boolean(bool value) override { return Value(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Value(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Value(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& as_written) override { return Value(as_written); }
  bool string(string_t& value) override { return Value(OneLine(value)); }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return Begin(false); }
  bool end_object() override { return End(); }
  bool start_array(std::size_t) override { return Begin(true); }
  bool end_array() override { return End(); }
  bool key(string_t& name) override {
    key_ = CutUtf8(OneLine(name), kKeyBytesMax);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    error_at_ = position;
    return false;
  }

  [[nodiscard]] size_t error_at() const { return error_at_; }

 private:
  struct Level {
    bool list = false;
    size_t path_bytes = 0;  // of the path above it
    uint64_t count = 0;
  };

  bool Value(std::string_view text) {
    if (text.empty()) text = "\"\"";
    const bool list = !levels_.empty() && levels_.back().list;
    if (line_.size() + text.size() > kLineBytes) EndLine();
    if (!line_.empty()) line_ += list ? ", " : "; ";
    if (!list && !levels_.empty()) {
      line_ += key_;
      line_ += ": ";
    }
    line_ += text;
    if (list) ++levels_.back().count;
    if (levels_.empty()) EndLine();
    return true;
  }

  bool Begin(bool list) {
    EndLine();
    if (levels_.size() == kJsonDepthMax) {
      throw ShapeLimit{"at most " + std::to_string(kJsonDepthMax) + " levels of nesting are read"};
    }
    const size_t path_bytes = path_.size();
    if (!levels_.empty()) {
      if (levels_.back().list) {
        path_ += '[' + std::to_string(levels_.back().count++) + ']';
      } else {
        if (!path_.empty()) path_ += '.';
        path_ += key_;
      }
    }
    levels_.push_back({.list = list, .path_bytes = path_bytes});
    return true;
  }

  bool End() {
    EndLine();
    path_.resize(levels_.back().path_bytes);
    levels_.pop_back();
    return true;
  }

  void EndLine() {
    if (line_.empty()) return;
    std::string text;
    if (path_.size() > kPathBytesMax) {
      size_t begin = path_.size() - kPathBytesMax;
      while (begin < path_.size() && (static_cast<unsigned char>(path_[begin]) & 0xC0u) == 0x80u) ++begin;
      text = "\u2026" + path_.substr(begin);
    } else {
      text = path_;
    }
    if (!text.empty()) text += ": ";
    text += line_;
    out_.Row(text);
    line_.clear();
  }

  BlockWriter& out_;
  std::vector<Level> levels_;
  std::string path_;
  std::string key_;
  std::string line_;  // values of the innermost level that are not yet written
  size_t error_at_ = 0;
};

// `position`: bytes read when the fault was seen, from 1.
Verdict Damaged(const char* what, std::string_view text, size_t position) {
  const std::string_view before = text.substr(0, position > 0 ? position - 1 : 0);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {.verdict = ExtractVerdict::kDamaged,
          .detail = position,
          .sentence = std::string("Its name says ") + what + " and it cannot be read as such: line " +
                      std::to_string(line) + ", byte " + std::to_string(before.size() - start + 1) + " of the line."};
}

Verdict ReadJson(std::string_view text, BlockWriter& blocks) {
  Lines lines(blocks);
  if (!Json::sax_parse(text.begin(), text.end(), &lines, Json::input_format_t::json, true, true)) {
    return Damaged("JSON", text, lines.error_at());
  }
  return {.verdict = ExtractVerdict::kRead};
}

Verdict ReadLines(std::string_view text, BlockWriter& blocks) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      Lines lines(blocks);
      if (!Json::sax_parse(line.begin(), line.end(), &lines, Json::input_format_t::json, true, true)) {
        return Damaged("JSON Lines", text, begin + lines.error_at());
      }
    }
    begin = end + 1;
  }
  return {.verdict = ExtractVerdict::kRead};
}

}  // namespace

Verdict ExtractJson(std::string_view bytes, wire::DocumentType type, FrameWriter& out) {
  const Decoded decoded = DecodeText(bytes, "JSON");
  if (!decoded.text) return decoded.refusal;
  return ReadBlocks(out, [&](BlockWriter& blocks) {
    blocks.Document(type, 0, "");
    const std::string_view text = decoded.text->view();
    return type == wire::DocumentType::kJsonLines ? ReadLines(text, blocks) : ReadJson(text, blocks);
  });
}

}  // namespace carrel::retrieval::extract
