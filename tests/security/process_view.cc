#include "process_view.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace carrel::testing {
namespace {

std::string ReadLink(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  return length < 0 ? "" : std::string(target.data(), static_cast<size_t>(length));
}

}  // namespace

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Process::Process(pid_t pid) : pid_(pid), directory_(absl::StrCat("/proc/", pid, "/")) {
  std::istringstream lines(ReadAll(directory_ + "status"));
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    status_[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
}

std::string Process::status(const std::string& key) const {
  const auto found = status_.find(key);
  return found == status_.end() ? "" : found->second;
}

std::string Process::ns(const std::string& name) const { return ReadLink(directory_ + "ns/" + name); }

std::map<int, std::string> Process::Descriptors() const {
  std::map<int, std::string> found;
  for (int fd = 0; fd < 4096; ++fd) {
    const std::string target = ReadLink(absl::StrCat(directory_, "fd/", fd));
    if (!target.empty()) found[fd] = target;
  }
  return found;
}

std::string Process::InnerPid() const {
  const std::vector<std::string> ids = absl::StrSplit(status("NSpid"), absl::ByAnyChar("\t "), absl::SkipEmpty());
  return ids.empty() ? "" : ids.back();
}

std::map<std::string, std::string> Process::HardLimits() const {
  std::istringstream lines(File("limits"));
  std::map<std::string, std::string> hard;
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> words =
        absl::StrSplit(line.substr(std::min<size_t>(26, line.size())), ' ', absl::SkipEmpty());
    if (words.size() >= 2) hard[std::string(absl::StripAsciiWhitespace(line.substr(0, 26)))] = words[1];
  }
  return hard;
}

}  // namespace carrel::testing
