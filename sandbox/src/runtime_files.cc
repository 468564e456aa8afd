#include "runtime_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "text.h"

namespace carrel::sandbox {
namespace {

// More of them than that and only their number is looked at, by the directory's own times.
constexpr size_t kEntriesMax = 2000;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// Not the time of the last change of the inode: a hard link that somebody makes to it changes that.
std::string Facts(const struct stat& about) {
  return Concat(about.st_dev, ":", about.st_ino, ":", about.st_size, ":", about.st_mtim.tv_sec, ".",
                about.st_mtim.tv_nsec, "\n");
}

// Of what lies in the directory, in an order of its own. A file that goes away meanwhile is no longer in it.
std::vector<std::string> EntriesOf(const std::string& path) {
  std::vector<std::string> entries;
  const std::unique_ptr<DIR, CloseDirectory> listing(opendir(path.c_str()));
  if (!listing) return entries;
  while (const dirent* entry = readdir(listing.get())) {
    // Whoever imports from here may write bytecode: no change of what is imported.
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || name == "__pycache__") continue;
    struct stat about {};
    if (fstatat(dirfd(listing.get()), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    entries.push_back(Concat(name, " ", Facts(about)));
    if (entries.size() == kEntriesMax) break;
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

std::string FingerprintRuntime(const Policy& policy) {
  std::vector<std::string> sources{Concat(policy.directory, "/manifest")};
  for (const Bind& bind : policy.binds) {
    if (bind.source.starts_with(policy.directory + "/")) sources.push_back(bind.source);
  }
  std::string fingerprint;
  for (const std::string& source : sources) {
    struct stat about {};
    fingerprint += Concat(source, " ");
    if (stat(source.c_str(), &about) != 0) {
      fingerprint += "gone\n";
      continue;
    }
    if (!S_ISDIR(about.st_mode)) {
      fingerprint += Facts(about);
      continue;
    }
    // Not the directory's times: a __pycache__ that is made changes them.
    fingerprint += Concat(about.st_dev, ":", about.st_ino, "\n");
    for (const std::string& entry : EntriesOf(source)) fingerprint += entry;
  }
  return fingerprint;
}

}  // namespace carrel::sandbox
