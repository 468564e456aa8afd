#include "confined_policy.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text.h"
#include "uncounted_memory.h"

namespace carrel::sandbox {
namespace {

// Landlock (before ABI 9) does not look at the connecting to a socket by its path, and the pod's other sockets have our
// uid: nobody connects, and no datagram is sent to a name. What socketpair(2) gives stays.
constexpr char kRefusals[] = R"(
default errno ENOSYS                                # never used
errno EPERM connect                                 # the server's own socket trusts our uid
allow socket if a0.lo == AF_UNIX and a1.lo & 0xf == 1    # SOCK_STREAM: bind and listen harm nobody
errno EPERM socket                                  # a datagram needs no connect
allow socketpair if a0.lo == AF_UNIX and a1.lo & 0xf == 1    # asyncio, multiprocessing
allow socketpair if a0.lo == AF_UNIX and a1.lo & 0xf == 5    # SOCK_SEQPACKET
errno EPERM socketpair                              # one of datagrams can send to a name all the same
errno ENOSYS shmget                                 # the IPC namespace is everybody's
errno ENOSYS semget                                 # the IPC namespace is everybody's
errno ENOSYS msgget                                 # the IPC namespace is everybody's
errno ENOSYS shmat                                  # segments of others
errno ENOSYS shmctl                                 # segments of others
errno ENOSYS semop                                  # semaphores of others
errno ENOSYS semctl                                 # semaphores of others
errno ENOSYS msgsnd                                 # queues of others
errno ENOSYS msgrcv                                 # queues of others
errno ENOSYS msgctl                                 # queues of others
allow sched_setaffinity if a0.lo == 0               # of one's own
errno EPERM sched_setaffinity                       # of the server, which has our uid
allow sched_setscheduler if a0.lo == 0              # of one's own
errno EPERM sched_setscheduler                      # of the server
allow sched_setparam if a0.lo == 0                  # of one's own
errno EPERM sched_setparam                          # of the server
allow setpriority if a0.lo == 0 and a1.lo == 0      # PRIO_PROCESS, of one's own
errno EPERM setpriority                             # of the server, or of all that has our uid
allow ioprio_set if a0.lo == 1 and a1.lo == 0       # IOPRIO_WHO_PROCESS, of one's own
errno EPERM ioprio_set                              # of the server, or of all that has our uid
errno ENOSYS inotify_add_watch                      # tells the names of files that Landlock would not show
)";

bool Beneath(std::string_view path, std::string_view top) {
  return path == top || (path.starts_with(top) && path[top.size()] == '/');
}

// Where the host has what the jail would have at `path`. None: no bind shows it.
std::optional<std::string> OnHost(const Policy& policy, std::string_view path) {
  const Bind* best = nullptr;
  for (const Bind& bind : policy.binds) {
    if (Beneath(path, bind.target) && (best == nullptr || bind.target.size() > best->target.size())) best = &bind;
  }
  if (best == nullptr) return std::nullopt;
  return Concat(best->source, path.substr(best->target.size()));
}

std::string WordOnHost(const Policy& policy, std::string_view word) {
  if (!word.starts_with('/')) return std::string(word);
  return OnHost(policy, word).value_or(std::string(word));
}

// "NAME=/a:/b", each part by itself.
std::string VariableOnHost(const Policy& policy, std::string_view variable) {
  const size_t value = variable.find('=') + 1;
  std::string result(variable.substr(0, value));
  for (const std::string_view part : Split(variable.substr(value), ':')) {
    if (result.size() > value) result += ':';
    result += WordOnHost(policy, part);
  }
  return result;
}

void Add(std::vector<PathRule>* rules, const PathRule& rule) {
  const auto same = std::find_if(rules->begin(), rules->end(), [&rule](const auto& r) { return r.path == rule.path; });
  if (same == rules->end()) {
    rules->push_back(rule);
  } else {
    same->write |= rule.write;
    same->execute |= rule.execute;
  }
}

// What of the host's own files takes the place of a jail's.
struct Narrowed {
  std::string_view top;
  std::vector<std::string> files;
};
const std::vector<Narrowed>& NarrowedTrees() {
  static const auto* const trees = new std::vector<Narrowed>{
      // The second half is what programs take for granted when stat(2) has seen it, and fail when it cannot be read.
      {"/etc",
       {"/etc/ld.so.cache", "/etc/alternatives",  "/etc/localtime",  "/etc/timezone",        "/etc/passwd",
        "/etc/group",       "/etc/nsswitch.conf", "/etc/mime.types", "/etc/ssl/openssl.cnf", "/etc/magic",
        "/etc/services",    "/etc/protocols",     "/etc/papersize",  "/etc/paperspecs",      "/etc/inputrc",
        "/etc/terminfo",    "/etc/python3.11",    "/etc/python3",    "/etc/locale.alias",    "/etc/debian_version",
        "/etc/bash.bashrc"}},
      {"/dev", {"/dev/null", "/dev/full", "/dev/random", "/dev/urandom"}},
      // Of the session's first process; the others' have numbers that nobody knows yet.
      {"/proc", {"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/loadavg"}}};
  return *trees;
}

absl::Status AddRule(const Policy& policy, const PathRule& rule, std::vector<PathRule>* rules) {
  if (std::find(std::begin(kConfinedPlaces), std::end(kConfinedPlaces), rule.path) != std::end(kConfinedPlaces)) {
    Add(rules, rule);
    return absl::OkStatus();
  }
  bool found = false;
  // A bind may lie below the rule's path (/opt/carrel and /opt/carrel/driver), or the other way about.
  for (const Bind& bind : policy.binds) {
    if (!Beneath(bind.target, rule.path)) continue;
    found = true;
    if (bind.optional && ::access(bind.source.c_str(), F_OK) != 0) continue;
    Add(rules, {.path = bind.source, .execute = rule.execute});  // a bind is read-only
  }
  for (const Narrowed& tree : NarrowedTrees()) {
    if (rule.path != tree.top) continue;
    found = true;
    for (const std::string& file : tree.files) {
      if (::access(file.c_str(), F_OK) == 0) Add(rules, {.path = file, .write = rule.write && tree.top == "/dev"});
    }
    // Mapped by several it is memory without a name; see uncounted_memory.h.
    if (tree.top == "/dev" && !policy.memory_is_watched) Add(rules, {.path = kZeroDevice, .write = rule.write});
    if (tree.top == "/dev" && rule.write) Add(rules, {.path = "/dev/shm", .write = true});
  }
  if (found) return absl::OkStatus();
  const auto source = OnHost(policy, rule.path);
  if (!source) {
    return absl::InvalidArgumentError(
        Concat("policy ", policy.name, ": landlock ", rule.path, ": no bind of the policy shows it"));
  }
  Add(rules, {.path = *source, .execute = rule.execute});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SyscallPolicy> RefuseSharedKernel(const SyscallPolicy& policy) {
  absl::StatusOr<SyscallPolicy> refusals = ParseSyscallPolicy(kRefusals, "confined");
  if (!refusals.ok()) return refusals.status();
  const auto names = [](const SyscallPolicy& where, const std::string& name) {
    return std::any_of(where.rules.begin(), where.rules.end(), [&name](const auto& rule) { return rule.name == name; });
  };
  SyscallPolicy result{.name = policy.name, .otherwise = policy.otherwise};
  // An allowance of ours is none where the policy itself has none.
  for (const SyscallRule& rule : refusals->rules) {
    if (rule.action.kind != SyscallAction::Kind::kAllow || names(policy, rule.name)) result.rules.push_back(rule);
  }
  for (const SyscallRule& rule : policy.rules) {
    if (!names(*refusals, rule.name)) result.rules.push_back(rule);
  }
  return result;
}

absl::StatusOr<Policy> ConfinePolicy(const Policy& policy) {
  Policy confined = policy;
  confined.is_confined = true;
  for (std::string& word : confined.command) word = WordOnHost(policy, word);
  for (std::string& variable : confined.env) variable = VariableOnHost(policy, variable);
  confined.landlock.clear();
  for (const PathRule& rule : policy.landlock) {
    if (absl::Status s = AddRule(policy, rule, &confined.landlock); !s.ok()) return s;
  }
  for (const Bind& bind : policy.binds) {
    if (!bind.optional && ::access(bind.source.c_str(), F_OK) != 0) {
      return absl::NotFoundError(Concat("policy ", policy.name, ": bind ", bind.source, " is not there"));
    }
  }
  return confined;
}

}  // namespace carrel::sandbox
