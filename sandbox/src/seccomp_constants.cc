#include "seccomp_constants.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "text.h"

namespace carrel::sandbox {
namespace {

struct Named {
  std::string_view name;
  uint64_t value;
};

#define CARREL_NAMED(constant) \
  Named { #constant, static_cast < uint64_t>(constant) }

constexpr Named kConstants[] = {
    CARREL_NAMED(AF_UNIX),
    // clone
    CARREL_NAMED(CLONE_NEWNS),
    CARREL_NAMED(CLONE_NEWCGROUP),
    CARREL_NAMED(CLONE_NEWUTS),
    CARREL_NAMED(CLONE_NEWIPC),
    CARREL_NAMED(CLONE_NEWUSER),
    CARREL_NAMED(CLONE_NEWPID),
    CARREL_NAMED(CLONE_NEWNET),
    CARREL_NAMED(CLONE_NEWTIME),
    CARREL_NAMED(CLONE_PARENT),
    CARREL_NAMED(CLONE_THREAD),
    CARREL_NAMED(CLONE_FILES),
    CARREL_NAMED(CLONE_PTRACE),
    CARREL_NAMED(CLONE_UNTRACED),
    // prctl
    CARREL_NAMED(PR_SET_PDEATHSIG),
    CARREL_NAMED(PR_GET_PDEATHSIG),
    CARREL_NAMED(PR_GET_DUMPABLE),
    CARREL_NAMED(PR_SET_DUMPABLE),
    CARREL_NAMED(PR_SET_NAME),
    CARREL_NAMED(PR_GET_NAME),
    CARREL_NAMED(PR_GET_SECCOMP),
    CARREL_NAMED(PR_CAPBSET_READ),
    CARREL_NAMED(PR_GET_TIMERSLACK),
    CARREL_NAMED(PR_SET_TIMERSLACK),
    CARREL_NAMED(PR_SET_CHILD_SUBREAPER),
    CARREL_NAMED(PR_GET_CHILD_SUBREAPER),
    CARREL_NAMED(PR_SET_NO_NEW_PRIVS),
    CARREL_NAMED(PR_GET_NO_NEW_PRIVS),
    CARREL_NAMED(PR_GET_TID_ADDRESS),
    CARREL_NAMED(PR_SET_THP_DISABLE),
    CARREL_NAMED(PR_GET_THP_DISABLE),
    CARREL_NAMED(PR_SET_VMA),
    // fcntl
    CARREL_NAMED(F_DUPFD),
    CARREL_NAMED(F_DUPFD_CLOEXEC),
    CARREL_NAMED(F_GETFD),
    CARREL_NAMED(F_SETFD),
    CARREL_NAMED(F_GETFL),
    CARREL_NAMED(F_SETFL),
    CARREL_NAMED(F_GETLK),
    CARREL_NAMED(F_SETLK),
    CARREL_NAMED(F_SETLKW),
    CARREL_NAMED(F_OFD_GETLK),
    CARREL_NAMED(F_OFD_SETLK),
    CARREL_NAMED(F_OFD_SETLKW),
    CARREL_NAMED(F_GETPIPE_SZ),
    CARREL_NAMED(F_SETPIPE_SZ),
    CARREL_NAMED(F_ADD_SEALS),
    CARREL_NAMED(F_GET_SEALS),
    CARREL_NAMED(F_GETOWN_EX),
    CARREL_NAMED(F_SETOWN),
    CARREL_NAMED(F_SETSIG),
    CARREL_NAMED(F_NOTIFY),
    // ioctl
    CARREL_NAMED(TCGETS),
    CARREL_NAMED(TIOCGWINSZ),
    CARREL_NAMED(TIOCGPGRP),
    CARREL_NAMED(TIOCSTI),
    CARREL_NAMED(TIOCLINUX),
    CARREL_NAMED(FIONREAD),
    CARREL_NAMED(FIONBIO),
    CARREL_NAMED(FIOASYNC),
    CARREL_NAMED(FIOCLEX),
    CARREL_NAMED(FIONCLEX),
    CARREL_NAMED(TIOCOUTQ),
    CARREL_NAMED(FIGETBSZ),
    CARREL_NAMED(FS_IOC_GETFLAGS),
    CARREL_NAMED(FS_IOC_FIEMAP),
    CARREL_NAMED(FICLONE),
    CARREL_NAMED(FICLONERANGE),
    // personality
    CARREL_NAMED(PER_LINUX),
    CARREL_NAMED(ADDR_NO_RANDOMIZE),
    // memfd_create
    CARREL_NAMED(MFD_HUGETLB),
    // mmap
    CARREL_NAMED(MAP_SHARED),
    CARREL_NAMED(MAP_ANONYMOUS),
    CARREL_NAMED(MAP_HUGETLB),
};

// Calls that are younger than the libseccomp of Debian 12 (2.5.4). Their numbers are the same on every architecture.
// Source: the kernel's scripts/syscall.tbl.
constexpr Named kYoungCalls[] = {
    {"futex_waitv", 449},       {"set_mempolicy_home_node", 450},
    {"cachestat", 451},         {"fchmodat2", 452},
    {"map_shadow_stack", 453},  {"futex_wake", 454},
    {"futex_wait", 455},        {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},
    {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},  {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},
    {"listxattrat", 465},       {"removexattrat", 466},
    {"open_tree_attr", 467},    {"file_getattr", 468},
    {"file_setattr", 469},
};

constexpr Named kErrors[] = {
    CARREL_NAMED(EPERM),  CARREL_NAMED(ENOENT), CARREL_NAMED(EACCES),       CARREL_NAMED(EINVAL),
    CARREL_NAMED(ENOTTY), CARREL_NAMED(ENOSYS), CARREL_NAMED(EAFNOSUPPORT), CARREL_NAMED(EOPNOTSUPP),
};

#undef CARREL_NAMED

std::optional<uint64_t> OneConstant(std::string_view text) {
  for (const Named& constant : kConstants) {
    if (constant.name == text) return constant.value;
  }
  if (text == "-1") return ~uint64_t{0};
  return text.starts_with("0x") ? Number(text.substr(2), 16) : Number(text);
}

}  // namespace

std::optional<uint64_t> SyscallConstant(std::string_view text) {
  uint64_t value = 0;
  for (const std::string_view part : Split(text, '|')) {
    const std::optional<uint64_t> one = OneConstant(part);
    if (!one) return std::nullopt;
    value |= *one;
  }
  return value;
}

std::optional<int> ErrnoByName(std::string_view name) {
  for (const Named& error : kErrors) {
    if (error.name == name) return static_cast<int>(error.value);
  }
  return std::nullopt;
}

std::optional<int> SyscallNumber(std::string_view name) {
  for (const Named& call : kYoungCalls) {
    if (call.name == name) return static_cast<int>(call.value);
  }
  const int number = seccomp_syscall_resolve_name(std::string(name).c_str());
  if (number == __NR_SCMP_ERROR) return std::nullopt;
  return number < 0 ? -1 : number;
}

}  // namespace carrel::sandbox
