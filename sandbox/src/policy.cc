#include "sandbox/policy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "sandbox/base/unique_fd.h"
#include "text.h"

namespace carrel::sandbox {
namespace {

// No policy file is longer than a few hundred lines.
constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr size_t kNameBytesMax = 32;

struct LimitField {
  std::string_view name;
  uint64_t JailLimits::*field;
  bool required;
};
constexpr LimitField kLimits[] = {
    {"memory_bytes", &JailLimits::memory_bytes, true},       {"processes", &JailLimits::processes, true},
    {"cpu_millis", &JailLimits::cpu_millis, true},           {"workspace_bytes", &JailLimits::workspace_bytes, true},
    {"workspace_files", &JailLimits::workspace_files, true}, {"tmp_bytes", &JailLimits::tmp_bytes, true},
    {"open_files", &JailLimits::open_files, true},           {"cpu_seconds", &JailLimits::cpu_seconds, false},
};

const LimitField* FindLimit(std::string_view name) {
  for (const LimitField& limit : kLimits) {
    if (limit.name == name) return &limit;
  }
  return nullptr;
}

// Only these users may have written a policy: whoever can write it can choose what the jail shows.
absl::Status CheckWriters(int fd, const std::string& path, uid_t owner) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return absl::ErrnoToStatus(errno, "fstat " + path);
  if (status.st_uid != 0 && status.st_uid != owner) {
    return absl::PermissionDeniedError(
        Concat(path, " belongs to uid ", status.st_uid, ", not to root or to uid ", owner, ": chown it"));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(Concat(path, " can be written by others: chmod go-w ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTrusted(const std::string& path, uid_t owner) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return absl::ErrnoToStatus(errno, path);
  if (absl::Status status = CheckWriters(fd.get(), path, owner); !status.ok()) return status;
  std::string text;
  std::string block(4096, '\0');
  while (true) {
    const ssize_t got = read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, path);
    if (got == 0) return text;
    text.append(block, 0, static_cast<size_t>(got));
    if (text.size() > kFileBytesMax) return absl::InvalidArgumentError(path + ": longer than 1 MiB");
  }
}

// "/a/b", without empty, "." or ".." parts and without an end slash.
bool IsPlainPath(std::string_view path) {
  if (!path.starts_with('/') || path.size() < 2) return false;
  const std::vector<std::string_view> parts = Split(path.substr(1), '/');
  return std::none_of(parts.begin(), parts.end(),
                      [](std::string_view part) { return part.empty() || part == "." || part == ".."; });
}

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

class ManifestParser final {
 public:
  ManifestParser(std::string directory, const PolicyOptions& options)
      : directory_(std::move(directory)), options_(options) {
    policy_.directory = directory_;
  }

  absl::Status Line(std::string_view line) {
    line = Strip(line);
    if (line.empty() || line.front() == '#') return absl::OkStatus();
    const size_t hash = line.find(" #");
    const std::string_view reason = hash == std::string_view::npos ? std::string_view() : Strip(line.substr(hash + 2));
    const std::string_view entry = Strip(line.substr(0, hash));
    const size_t blank = entry.find_first_of(" \t");
    const std::string_view key = entry.substr(0, blank);
    const std::string_view value = blank == std::string_view::npos ? std::string_view() : Strip(entry.substr(blank));
    if (value.empty()) return absl::InvalidArgumentError(Concat("\"", key, "\" has no value"));
    return Entry(key, value, reason);
  }

  absl::StatusOr<Policy> Finish() {
    for (const std::string_view key : {"name", "description", "version", "kind", "command", "syscalls"}) {
      if (!once_.contains(std::string(key))) return absl::InvalidArgumentError(Concat("no ", key));
    }
    for (const LimitField& limit : kLimits) {
      const bool known = defaults_.contains(limit.name) && caps_.contains(limit.name);
      if (limit.required && !known) {
        return absl::InvalidArgumentError(Concat("no default or no cap for ", limit.name));
      }
      if (policy_.defaults.*limit.field > policy_.caps.*limit.field) {
        return absl::InvalidArgumentError(Concat("the default of ", limit.name, " is over its cap"));
      }
    }
    return std::move(policy_);
  }

 private:
  absl::Status Entry(std::string_view key, std::string_view value, std::string_view reason) {
    if (key == "bind" || key == "bind-optional") return AddBind(value, reason, key == "bind-optional");
    if (key == "landlock") return AddPathRule(value, reason);
    if (key == "env") return AddEnvironment(value);
    if (key == "package") return AddPackage(value);
    if (key == "default") return AddLimit(value, policy_.defaults, defaults_);
    if (key == "cap") return AddLimit(value, policy_.caps, caps_);
    if (!once_.insert(std::string(key)).second) return absl::InvalidArgumentError(Concat("a second ", key));
    if (key == "name") return SetName(value);
    if (key == "kind") return SetKind(value);
    if (key == "runtime") return SetRuntime(value);
    if (key == "syscalls") return SetSyscalls(value);
    if (key == "proc") return SetProc(value);
    if (key == "description") {
      policy_.description = std::string(value);
    } else if (key == "version") {
      policy_.version = std::string(value);
    } else if (key == "command") {
      for (const std::string_view word : Words(value)) policy_.command.emplace_back(word);
      if (!IsPlainPath(policy_.command.front())) {
        return absl::InvalidArgumentError("the command is not an absolute path");
      }
    } else {
      return absl::InvalidArgumentError(Concat("unknown key \"", key, "\""));
    }
    return absl::OkStatus();
  }

  absl::Status SetName(std::string_view value) {
    const std::string_view folder = std::string_view(directory_).substr(directory_.rfind('/') + 1);
    if (!IsName(value)) return absl::InvalidArgumentError("a name is 1 to 32 of [a-z0-9-]");
    if (value != folder) return absl::InvalidArgumentError("the name is not that of the directory");
    policy_.name = std::string(value);
    return absl::OkStatus();
  }

  absl::Status SetKind(std::string_view value) {
    if (value != "zygote" && value != "exec") return absl::InvalidArgumentError("kind is zygote or exec");
    policy_.kind = value == "zygote" ? Policy::Kind::kZygote : Policy::Kind::kExec;
    return absl::OkStatus();
  }

  absl::Status SetRuntime(std::string_view value) {
    if (value != "pooled" && value != "on-demand") return absl::InvalidArgumentError("runtime is pooled or on-demand");
    policy_.runtime = value == "pooled" ? RuntimeUse::kPooled : RuntimeUse::kOnDemand;
    return absl::OkStatus();
  }

  absl::Status SetProc(std::string_view value) {
    if (value != "private" && value != "none") return absl::InvalidArgumentError("proc is private or none");
    policy_.empty_proc = value == "none";
    return absl::OkStatus();
  }

  absl::Status SetSyscalls(std::string_view value) {
    if (value.find('/') != std::string_view::npos) {
      return absl::InvalidArgumentError("the syscalls file lies beside the manifest");
    }
    const std::string path = Concat(directory_, "/", value);
    absl::StatusOr<std::string> text = ReadTrusted(path, options_.owner);
    if (!text.ok()) return text.status();
    absl::StatusOr<SyscallPolicy> syscalls = ParseSyscallPolicy(*text, path);
    if (!syscalls.ok()) return syscalls.status();
    policy_.syscalls = *std::move(syscalls);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Source(std::string_view source) const {
    if (source.starts_with('/')) return std::string(source);
    if (!source.starts_with('@')) return Concat(directory_, "/", source);
    const size_t slash = source.find('/');
    const auto place = options_.places.find(std::string(source.substr(1, slash == source.npos ? slash : slash - 1)));
    if (place == options_.places.end()) return absl::InvalidArgumentError(Concat("no place is called ", source));
    return slash == std::string_view::npos ? place->second : Concat(place->second, source.substr(slash));
  }

  absl::Status AddBind(std::string_view value, std::string_view reason, bool optional) {
    const std::vector<std::string_view> words = Words(value);
    if (words.size() != 2) return absl::InvalidArgumentError("a bind is SOURCE TARGET");
    if (reason.empty()) return absl::InvalidArgumentError("a bind ends with # and why it is there");
    absl::StatusOr<std::string> source = Source(words[0]);
    if (!source.ok()) return source.status();
    if (!IsPlainPath(*source)) return absl::InvalidArgumentError(Concat("\"", words[0], "\": no . or .. or //"));
    if (!IsPlainPath(words[1])) return absl::InvalidArgumentError("the target is not a plain absolute path");
    for (const std::string_view own : {"/proc", "/dev", "/tmp", "/mnt/data"}) {
      if (words[1] == own || words[1].starts_with(Concat(own, "/"))) {
        return absl::InvalidArgumentError(Concat(own, " is the jail's own"));
      }
    }
    for (const Bind& bind : policy_.binds) {
      if (bind.target == words[1]) return absl::InvalidArgumentError("a second bind to the same target");
    }
    policy_.binds.push_back(Bind{.source = *source, .target = std::string(words[1]), .optional = optional});
    return absl::OkStatus();
  }

  absl::Status AddPathRule(std::string_view value, std::string_view reason) {
    const std::vector<std::string_view> words = Words(value);
    if (words.size() != 2)
      return absl::InvalidArgumentError("landlock is followed by read, execute or write, and PATH");
    if (reason.empty()) return absl::InvalidArgumentError("a landlock rule ends with # and why it is there");
    if (!IsPlainPath(words[1])) return absl::InvalidArgumentError("the path is not a plain absolute path");
    const auto same = [&words](const PathRule& rule) { return rule.path == words[1]; };
    auto rule = std::find_if(policy_.landlock.begin(), policy_.landlock.end(), same);
    if (rule == policy_.landlock.end()) {
      rule = policy_.landlock.insert(rule, PathRule{.path = std::string(words[1])});
    }
    if (words[0] == "write") {
      rule->write = true;
    } else if (words[0] == "execute") {
      rule->execute = true;
    } else if (words[0] != "read") {
      return absl::InvalidArgumentError("landlock is followed by read, execute or write");
    }
    return absl::OkStatus();
  }

  absl::Status AddEnvironment(std::string_view value) {
    const size_t equals = value.find('=');
    if (equals == std::string_view::npos || equals == 0) return absl::InvalidArgumentError("env is NAME=VALUE");
    for (const std::string& other : policy_.env) {
      if (other.starts_with(value.substr(0, equals + 1))) return absl::InvalidArgumentError("a second one of the name");
    }
    policy_.env.emplace_back(value);
    return absl::OkStatus();
  }

  absl::Status AddPackage(std::string_view value) {
    const std::vector<std::string_view> words = Words(value);
    if (words.size() != 2) return absl::InvalidArgumentError("a package is NAME VERSION");
    policy_.packages.push_back(PolicyPackage{std::string(words[0]), std::string(words[1])});
    return absl::OkStatus();
  }

  static absl::Status AddLimit(std::string_view value, JailLimits& limits, std::set<std::string_view>& seen) {
    const std::vector<std::string_view> words = Words(value);
    if (words.size() != 2) return absl::InvalidArgumentError("a limit is NAME NUMBER");
    const LimitField* limit = FindLimit(words[0]);
    if (limit == nullptr) return absl::InvalidArgumentError(Concat("no limit is called ", words[0]));
    const std::optional<uint64_t> number = Number(words[1]);
    if (!number) return absl::InvalidArgumentError(Concat("\"", words[1], "\" is not a number"));
    if (limit->required && *number == 0) return absl::InvalidArgumentError(Concat(words[0], " cannot be 0"));
    if (!seen.insert(limit->name).second) return absl::InvalidArgumentError(Concat("a second ", words[0]));
    limits.*limit->field = *number;
    return absl::OkStatus();
  }

  std::string directory_;
  const PolicyOptions& options_;
  Policy policy_;
  std::set<std::string> once_;
  std::set<std::string_view> defaults_;
  std::set<std::string_view> caps_;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// A syscalls file's own message has its file:line already.
absl::Status At(const std::string& path, int line, const absl::Status& status) {
  return absl::Status(status.code(), Concat(path, ":", line, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Policy> LoadPolicy(const std::string& directory, const PolicyOptions& options) {
  const std::unique_ptr<char, decltype(&free)> real(realpath(directory.c_str(), nullptr), &free);
  if (!real) return absl::ErrnoToStatus(errno, directory);
  const UniqueFd folder(open(real.get(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return absl::ErrnoToStatus(errno, directory);
  if (absl::Status status = CheckWriters(folder.get(), real.get(), options.owner); !status.ok()) return status;
  const std::string path = Concat(real.get(), "/manifest");
  absl::StatusOr<std::string> text = ReadTrusted(path, options.owner);
  if (!text.ok()) return text.status();
  ManifestParser parser(real.get(), options);
  int number = 0;
  for (const std::string_view line : Split(*text, '\n')) {
    ++number;
    if (absl::Status status = parser.Line(line); !status.ok()) return At(path, number, status);
  }
  absl::StatusOr<Policy> policy = parser.Finish();
  if (!policy.ok()) return At(path, number, policy.status());
  return policy;
}

absl::StatusOr<std::vector<Policy>> LoadPolicies(const std::string& directory, const PolicyOptions& options) {
  const std::unique_ptr<DIR, CloseDirectory> listing(opendir(directory.c_str()));
  if (!listing) return absl::ErrnoToStatus(errno, directory);
  if (absl::Status status = CheckWriters(dirfd(listing.get()), directory, options.owner); !status.ok()) return status;
  std::vector<std::string> names;
  while (const dirent* entry = readdir(listing.get())) {
    const std::string manifest = Concat(directory, "/", entry->d_name, "/manifest");
    if (entry->d_name[0] != '.' && access(manifest.c_str(), F_OK) == 0) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  std::vector<Policy> policies;
  for (const std::string& name : names) {
    absl::StatusOr<Policy> policy = LoadPolicy(Concat(directory, "/", name), options);
    if (!policy.ok()) return policy.status();
    policies.push_back(*std::move(policy));
  }
  return policies;
}

absl::StatusOr<JailLimits> EffectiveLimits(const Policy& policy, const JailLimits& requested) {
  JailLimits limits = policy.defaults;
  for (const LimitField& limit : kLimits) {
    const uint64_t wanted = requested.*limit.field;
    if (wanted == 0) continue;
    if (wanted > policy.caps.*limit.field) {
      return absl::InvalidArgumentError(
          Concat(limit.name, ": ", wanted, " is over the cap of ", policy.name, ", ", policy.caps.*limit.field));
    }
    limits.*limit.field = wanted;
  }
  return limits;
}

}  // namespace carrel::sandbox
