#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "sandbox/doctor.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

constexpr size_t kColumns = 118;
constexpr size_t kIndent = 16;

// `text` broken at blanks, every line after the first indented.
std::string Wrapped(std::string_view text, size_t start) {
  std::string result;
  size_t column = start;
  for (const std::string_view word : Words(text)) {
    if (column + 1 + word.size() > kColumns && column > kIndent) {
      result += Concat("\n", std::string(kIndent, ' '));
      column = kIndent;
    } else if (column > start) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result + "\n";
}

std::string Line(std::string_view mark, const LayerState& layer) {
  std::string line = Concat(mark, layer.name);
  if (line.size() < kIndent) line.append(kIndent - line.size(), ' ');
  line += Wrapped(layer.detail, kIndent);
  if (!layer.mend.empty()) line += Concat(std::string(kIndent, ' '), Wrapped(Concat("mend: ", layer.mend), kIndent));
  return line;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      quoted += escape.data();
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string JsonList(const std::vector<LayerState>& layers) {
  std::string list;
  for (const LayerState& layer : layers) {
    list += Concat(list.empty() ? "" : ",", "{\"name\":", Quoted(layer.name),
                   ",\"active\":", layer.active ? "true" : "false", ",\"detail\":", Quoted(layer.detail),
                   ",\"mend\":", Quoted(layer.mend), "}");
  }
  return Concat("[", list, "]");
}

}  // namespace

std::string DoctorText(const DoctorReport& report) {
  std::string text;
  if (report.tier.empty()) {
    text = "No jail can be made on this machine; nothing will run.\n";
  } else if (IsComplete(report)) {
    text = Concat("Every layer of the jail can be had; the tier is ", report.tier, ".\n");
  } else if (IsAsAllowed(report)) {
    text = Concat("The tier is ", report.tier, "; what is missing was allowed to be, and every outcome says so.\n");
  } else {
    text =
        Concat("The tier is ", report.tier, ", but not every layer can be had: nothing runs unless that is allowed.\n");
  }
  for (const LayerState& layer : report.layers) {
    const auto& allowed = report.allowed;
    const bool may_lack = std::find(allowed.begin(), allowed.end(), layer.name) != allowed.end();
    text += Line(layer.active ? "ok  " : may_lack ? "--  " : "NO  ", layer);
  }
  for (const LayerState& advice : report.advice) text += Line("!   ", advice);
  return text;
}

std::string DoctorJson(const DoctorReport& report) {
  return Concat("{\"tier\":", Quoted(report.tier), ",\"complete\":", IsComplete(report) ? "true" : "false",
                ",\"as_allowed\":", IsAsAllowed(report) ? "true" : "false", ",\"layers\":", JsonList(report.layers),
                ",\"advice\":", JsonList(report.advice), "}\n");
}

}  // namespace carrel::sandbox
