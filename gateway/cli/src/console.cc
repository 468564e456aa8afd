#include "cli/console.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "absl/strings/str_format.h"
#include "rpc/log.h"
#include "rpc/status.h"
#include "strings.h"

namespace carrel::cli {
namespace {

constexpr auto kProgressEvery = std::chrono::milliseconds(100);

void WriteAll(FILE* stream, std::string_view text) {
  // A reader that went away (`| head`) is no error of ours; what cannot be written is not written.
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

void AppendEscaped(std::string& safe, unsigned char byte) { safe += absl::StrFormat("\\x%02x", byte); }

}  // namespace

std::string SafeText(std::string_view text, bool keep_lines) {
  std::string safe;
  safe.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // A carriage return only goes back in its own line: what progress bars do.
    const bool line = byte == '\n' || byte == '\t' || byte == '\r';
    // C1 controls are the code points U+0080 to U+009F: C2 80 to C2 9F.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) {
      AppendEscaped(safe, static_cast<unsigned char>(text[++i]));
    } else if ((byte < 0x20 && !(line && keep_lines)) || byte == 0x7F) {
      AppendEscaped(safe, byte);
    } else {
      safe += static_cast<char>(byte);
    }
  }
  return safe;
}

std::string HumanBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return StrCat(bytes, bytes == 1 ? " byte" : " bytes");
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : "{}";
}

Console::Console(bool json)
    : json_(json),
      stdout_is_terminal_(::isatty(STDOUT_FILENO) == 1),
      stderr_is_terminal_(::isatty(STDERR_FILENO) == 1) {}

void Console::Print(std::string_view line) {
  if (json_) return;
  ClearProgress();
  WriteAll(stdout, StrCat(SafeText(line, /*keep_lines=*/true), "\n"));
}

void Console::WriteStdout(std::string_view text) {
  if (json_) return;
  ClearProgress();
  WriteAll(stdout, stdout_is_terminal_ ? SafeText(text, /*keep_lines=*/true) : text);
}

void Console::WriteStderr(std::string_view text) {
  if (json_) return;
  ClearProgress();
  WriteAll(stderr, stderr_is_terminal_ ? SafeText(text, /*keep_lines=*/true) : text);
}

void Console::WriteNote(std::string_view text) {
  if (json_) return;
  ClearProgress();
  WriteAll(stderr, stderr_is_terminal_ ? StrCat("\x1b[2m", SafeText(text, /*keep_lines=*/true), "\x1b[0m") : text);
}

bool Console::interactive() const { return stderr_is_terminal_ && ::isatty(STDIN_FILENO) == 1; }

void Console::Prompt(std::string_view text) {
  ClearProgress();
  WriteAll(stderr, text);
}

void Console::PrintJson(const google::protobuf::Message& message) { PrintJsonText(ToJson(message)); }

void Console::PrintJsonText(std::string_view line) {
  if (!json_) return;
  ClearProgress();
  WriteAll(stdout, StrCat(line, "\n"));
}

void Console::Say(std::string_view sentence) {
  ClearProgress();
  WriteAll(stderr, StrCat("carrel: ", SafeText(sentence, /*keep_lines=*/true), "\n"));
}

void Console::Progress(std::string_view line) {
  const auto now = std::chrono::steady_clock::now();
  if (json_ || !stderr_is_terminal_ || (progress_shown_ && now - progress_at_ < kProgressEvery)) return;
  progress_at_ = now;
  progress_shown_ = true;
  // Back to the first column, erase the line, write.
  WriteAll(stderr, StrCat("\r\x1b[2K", SafeText(line, /*keep_lines=*/false)));
}

void Console::ClearProgress() {
  if (!progress_shown_) return;
  progress_shown_ = false;
  WriteAll(stderr, "\r\x1b[2K");
}

void Console::Fail(const absl::Status& status) {
  const std::string message(status.message().data(), status.message().size());
  const auto detail = rpc::DetailOf(status);
  std::string sentence = message;
  if (detail.has_value() && detail->retry_after_ms() > 0) {
    StrAppend(&sentence, " (try again in ", detail->retry_after_ms(), " ms)");
  }
  Say(sentence);
  if (!json_) return;
  std::string line = StrCat("{\"error\":{\"code\":", rpc::JsonQuote(rpc::CodeName(static_cast<int>(status.code()))),
                            ",\"message\":", rpc::JsonQuote(message));
  if (detail.has_value()) {
    StrAppend(&line, ",\"field\":", rpc::JsonQuote(detail->field()), ",\"value\":", rpc::JsonQuote(detail->value()),
              ",\"expected\":", rpc::JsonQuote(detail->expected()), ",\"retry_after_ms\":", detail->retry_after_ms());
  }
  PrintJsonText(StrCat(line, "}}"));
}

}  // namespace carrel::cli
