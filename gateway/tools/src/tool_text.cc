#include "gateway/tools/tool_text.h"

#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string CutMiddle(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  std::size_t head = bytes_max / 2;
  std::size_t tail = text.size() - bytes_max / 2;
  while (head > 0 && IsContinuation(text[head])) --head;
  while (tail < text.size() && IsContinuation(text[tail])) ++tail;
  return absl::StrCat(std::string(text.substr(0, head)), "\n… (", tail - head, " bytes left out) …\n",
                      std::string(text.substr(tail)));
}

std::string CodeText(const ToolCall& call, bool state_lost) {
  std::string text;
  std::string notes;
  for (const CodeOutput& output : call.code_outputs) {
    if (output.kind == CodeOutput::Kind::kLogs) {
      text += output.logs;
    } else {
      notes += "[An image was shown to the user.]\n";
    }
  }
  for (const WrittenFile& file : call.written_files) {
    absl::StrAppend(&notes, "[File written: /mnt/data/", file.path, "; link to it as sandbox:/mnt/data/", file.path,
                    "]\n");
  }
  if (state_lost) notes += "[The interpreter was restarted: its variables are gone.]\n";
  text = CutMiddle(text, kToolTextBytesMax);
  if (!text.empty() && text.back() != '\n' && !notes.empty()) text += '\n';
  text += CutMiddle(notes, kToolTextBytesMax / 4);
  return text.empty() ? "[No output.]" : text;
}

std::string Marker(int search, std::size_t result, std::string_view file_name) {
  // A bracket in a name would end the marker early.
  std::string name;
  for (std::size_t i = 0; i < file_name.size() && name.size() < 200;) {
    const std::string_view three = file_name.substr(i, 3);
    if (three == "\xE3\x80\x90" || three == "\xE3\x80\x91") {
      name += '_';
      i += 3;
    } else {
      name += file_name[i++];
    }
  }
  while (!name.empty() && name.size() >= 200 && IsContinuation(name.back())) name.pop_back();
  return absl::StrCat("\xE3\x80\x90", search, ":", result, "\xE2\x80\xA0", name, "\xE3\x80\x91");
}

std::string SearchText(int search, const std::vector<SearchResult>& results) {
  if (results.empty()) return "No passage was found. Try other words, or answer without citing.";
  const std::size_t room = kToolTextBytesMax / results.size();
  std::string text;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const SearchResult& result = results[i];
    absl::StrAppend(&text, Marker(search, i, result.file_name));
    if (const int page = result.BestCitation().first_page; page > 0) absl::StrAppend(&text, " page ", page);
    absl::StrAppend(&text, "\n", CutMiddle(result.passage, room), "\n\n");
  }
  text += "Cite a passage by writing its marker, exactly as it stands before it, right after what you took from it.";
  return text;
}

}  // namespace carrel::gateway
