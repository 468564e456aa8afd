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

// Of a directory with more entries than that, the names of all are looked at, and the facts of so many.
constexpr size_t kFactsMax = 2000;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// Not the time of the last change of the inode: a hard link that somebody makes to it changes that.
std::string Facts(const struct stat& about) {
  return Concat(about.st_dev, ":", about.st_ino, ":", about.st_size, ":", about.st_mtim.tv_sec, ".",
                about.st_mtim.tv_nsec, "\n");
}

// A line of each entry of the directory, by name. A file that goes away meanwhile is no longer in it.
std::string EntriesOf(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> listing(opendir(path.c_str()));
  if (!listing) return "";
  std::vector<std::string> names;
  while (const dirent* entry = readdir(listing.get())) {
    // Whoever imports from here may write bytecode: no change of what is imported.
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != "__pycache__") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  std::string entries;
  for (size_t i = 0; i < names.size(); ++i) {
    struct stat about {};
    if (i >= kFactsMax) {
      entries += Concat(names[i], "\n");
    } else if (fstatat(dirfd(listing.get()), names[i].c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0) {
      entries += Concat(names[i], " ", Facts(about));
    }
  }
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
    fingerprint += EntriesOf(source);
  }
  return fingerprint;
}

}  // namespace carrel::sandbox
