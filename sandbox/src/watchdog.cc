#include "watchdog.h"

#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sandbox/base/process_info.h"

namespace carrel::sandbox {
namespace {

// The process and everything below it. Somebody may fork while we look; the next round sees him.
void AddTree(pid_t pid, std::set<pid_t>* found) {
  if (pid <= 0 || !found->insert(pid).second) return;
  // Children hang on the thread that made them.
  std::error_code ended;
  for (const auto& task : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ended)) {
    auto children = ReadSmallFile(task.path().string() + "/children");
    if (!children.ok()) continue;
    for (const absl::string_view word : absl::StrSplit(*children, ' ', absl::SkipWhitespace())) {
      pid_t child = 0;
      if (absl::SimpleAtoi(word, &child)) AddTree(child, found);
    }
  }
}

uint64_t ResidentBytes(pid_t pid) {
  auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/statm"));
  if (!text.ok()) return 0;
  const std::vector<std::string> words = absl::StrSplit(*text, ' ');
  uint64_t pages = 0;
  if (words.size() < 2 || !absl::SimpleAtoi(words[1], &pages)) return 0;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Proportional: what a process shares with its zygote is mostly the zygote's.
uint64_t ProportionalBytes(pid_t pid) {
  auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  if (!text.ok()) return ResidentBytes(pid);  // it just ended, or we may not look: the careful number
  const size_t at = text->find("\nPss:");
  if (at == std::string::npos) return 0;
  return std::strtoull(text->c_str() + at + 5, nullptr, 10) * 1024;
}

}  // namespace

uint64_t MeasureSession(const Session& session, uint64_t enough) {
  uint64_t files = 0;
  for (const UniqueFd& fd : session.tmpfs) {
    struct statfs about {};
    if (fd && ::fstatfs(fd.get(), &about) == 0) {
      files += (about.f_blocks - about.f_bfree) * static_cast<uint64_t>(about.f_bsize);
    }
  }
  std::set<pid_t> processes;
  AddTree(session.main_pid, &processes);
  AddTree(session.init_pid, &processes);
  uint64_t resident = files;
  for (const pid_t pid : processes) resident += ResidentBytes(pid);
  if (resident < enough) return resident;
  uint64_t proportional = files;
  for (const pid_t pid : processes) proportional += ProportionalBytes(pid);
  return proportional;
}

}  // namespace carrel::sandbox
