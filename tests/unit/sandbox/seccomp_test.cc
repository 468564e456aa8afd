#include "sandbox/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace carrel::sandbox {
namespace {

using ::testing::HasSubstr;
using Kind = SyscallAction::Kind;

constexpr uint32_t kNative = AUDIT_ARCH_X86_64;
constexpr char kPython[] = CARREL_SOURCE "/interpreter/runtimes/python/python.syscalls";
constexpr char kExtract[] = CARREL_SOURCE "/sandbox/policies/extract/extract.syscalls";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

SyscallPolicy Parse(const std::string& text) {
  absl::StatusOr<SyscallPolicy> policy = ParseSyscallPolicy(text, "test");
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *std::move(policy) : SyscallPolicy{};
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<SyscallPolicy> policy = ParseSyscallPolicy(text, "test");
  return policy.ok() ? "no error" : std::string(policy.status().message());
}

// A classic BPF machine, as far as our programs use it.
uint32_t Simulate(const std::vector<sock_filter>& program, const seccomp_data& data) {
  uint32_t accumulator = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& step = program[pc];
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, sizeof(accumulator));
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= step.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += step.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += accumulator == step.k ? step.jt : step.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += accumulator >= step.k ? step.jt : step.jf;
        break;
      case BPF_RET | BPF_K:
        return step.k;
      default:
        ADD_FAILURE() << "an instruction that the test does not know: " << step.code;
        return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

uint32_t Meaning(const SyscallAction& action) {
  if (action.kind == Kind::kAllow) return SECCOMP_RET_ALLOW;
  if (action.kind == Kind::kErrno) return SECCOMP_RET_ERRNO | static_cast<uint32_t>(action.error);
  return SECCOMP_RET_KILL_PROCESS;
}

// Runs `body` in a child behind `policy`; its exit code, or 128 + the signal that ended it.
int InChild(const SyscallPolicy& policy, const std::function<int()>& body) {
  const absl::StatusOr<std::vector<sock_filter>> program = CompileSyscallPolicy(policy);
  EXPECT_TRUE(program.ok()) << program.status();
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(120);
    if (LoadFilter(*program) != 0) _exit(121);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(SyscallPolicy, ReadsRulesWithReasonsAndConditions) {
  const SyscallPolicy policy = Parse(
      "# a comment\n\ndefault errno ENOSYS # unknown\nallow read # files\nallow socket if a0.lo == AF_UNIX # local\n"
      "errno EPERM socket # the rest\nkill ioctl if a1.lo & 0xff00 == 0xae00 and a2 != 7 # KVM\n");
  ASSERT_EQ(policy.rules.size(), 4U);
  EXPECT_EQ(policy.otherwise.error, ENOSYS);
  EXPECT_EQ(policy.rules[0].reason, "files");
  EXPECT_EQ(policy.rules[0].number, SYS_read);
  EXPECT_EQ(policy.rules[1].line, 5);
  ASSERT_EQ(policy.rules[3].conditions.size(), 2U);
  EXPECT_EQ(policy.rules[3].conditions[0].mask, 0xff00U);
  EXPECT_FALSE(policy.rules[3].conditions[1].equal);
}

TEST(SyscallPolicy, SaysWhatIsWrongAndWhere) {
  const std::string start = "default errno ENOSYS # x\n";
  EXPECT_THAT(ErrorOf(start + "allow read\n"), HasSubstr("test:2: no reason"));
  EXPECT_THAT(ErrorOf(start + "allow read #  \n"), HasSubstr("test:2: no reason"));
  EXPECT_THAT(ErrorOf(start + "allow nosuchcall # x\n"), HasSubstr("test:2: there is no system call \"nosuchcall\""));
  EXPECT_THAT(ErrorOf(start + "permit read # x\n"), HasSubstr("\"permit\" is not"));
  EXPECT_THAT(ErrorOf(start + "errno ENOWHERE read # x\n"), HasSubstr("not an error that we know"));
  EXPECT_THAT(ErrorOf(start + "allow read # x\n\nallow  read # y\n"), HasSubstr("test:4: the same rule twice"));
  EXPECT_THAT(ErrorOf(start + "allow read # x\nerrno EPERM read # y\n"), HasSubstr("can never apply"));
  EXPECT_THAT(ErrorOf(start + "allow socket if a6 == 1 # x\n"), HasSubstr("not a0 to a5"));
  EXPECT_THAT(ErrorOf(start + "allow socket if a0 == AF_NONE # x\n"), HasSubstr("AF_NONE"));
  EXPECT_THAT(ErrorOf(start + "allow socket if a0.lo == 0x100000000 # x\n"), HasSubstr("does not fit"));
  EXPECT_THAT(ErrorOf(start + "allow socket if a0 & 1 == 2 # x\n"), HasSubstr("can never be equal"));
  EXPECT_THAT(ErrorOf(start + "allow socket when a0 == 1 # x\n"), HasSubstr("if"));
  EXPECT_THAT(ErrorOf("allow read # x\n"), HasSubstr("no default"));
  EXPECT_THAT(ErrorOf("default allow # x\n"), HasSubstr("cannot be allow"));
  EXPECT_THAT(ErrorOf(start + start), HasSubstr("a second default"));
}

TEST(SyscallPolicy, KnowsCallsYoungerThanTheLibrary) {
  const SyscallPolicy policy = Parse("default errno ENOSYS # x\nallow fchmodat2 # x\nallow mseal # x\n");
  EXPECT_EQ(policy.rules[0].number, 452);
  EXPECT_EQ(policy.rules[1].number, 462);
}

TEST(SyscallFilter, KillsForeignArchitecturesAndX32) {
  const auto program = CompileSyscallPolicy(Parse("default errno ENOSYS # x\nallow read # x\n"));
  ASSERT_TRUE(program.ok());
  EXPECT_EQ(Simulate(*program, {.nr = SYS_read, .arch = kNative}), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Simulate(*program, {.nr = SYS_read, .arch = AUDIT_ARCH_I386}), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Simulate(*program, {.nr = SYS_read | 0x40000000, .arch = kNative}), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Simulate(*program, {.nr = -1, .arch = kNative}), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(Simulate(*program, {.nr = -2, .arch = kNative}), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Simulate(*program, {.nr = 100000, .arch = kNative}), SECCOMP_RET_ERRNO | ENOSYS);
}

// Every call number with arguments around every constant of the policy: the program must say what the rules mean.
void ExpectProgramMeansPolicy(const SyscallPolicy& policy) {
  const auto program = CompileSyscallPolicy(policy);
  ASSERT_TRUE(program.ok()) << program.status();
  std::vector<uint64_t> values = {0, 1, ~uint64_t{0}, 0xffffffff, uint64_t{1} << 32};
  for (const SyscallRule& rule : policy.rules) {
    for (const SyscallCondition& condition : rule.conditions) {
      for (const uint64_t high : {uint64_t{0}, uint64_t{1} << 32, uint64_t{0xffffffff} << 32}) {
        values.insert(values.end(), {condition.value | high, (condition.value + 1) | high, ~condition.value | high});
      }
    }
  }
  std::mt19937_64 random(7);
  for (int number = 0; number < 520; ++number) {
    for (size_t i = 0; i < values.size(); ++i) {
      std::array<uint64_t, 6> args{};
      for (uint64_t& arg : args) arg = values[random() % values.size()];
      args[i % 3] = values[i];
      seccomp_data data{.nr = number, .arch = kNative};
      std::copy(args.begin(), args.end(), data.args);
      ASSERT_EQ(Simulate(*program, data), Meaning(DecideSyscall(policy, number, args)))
          << "call " << number << ", a0 " << args[0] << ", a1 " << args[1] << ", a2 " << args[2];
    }
  }
}

TEST(SyscallFilter, MeansWhatThePolicySays) {
  ExpectProgramMeansPolicy(
      Parse("default errno ENOSYS # x\nallow read # x\nkill write if a0 == 5 and a1 != 0x100000001 # x\n"
            "errno EPERM write if a2 & 0xf0000000f == 0x300000002 # x\nallow write if a1.lo != 9 # x\n"
            "allow ioctl if a1.lo & 0xff00 == 0xae00 # x\nerrno EACCES ioctl # x\nallow close # x\nkill stat # x\n"));
}

TEST(SyscallFilter, OfPythonMeansWhatThePolicySays) { ExpectProgramMeansPolicy(Parse(ReadFile(kPython))); }

TEST(SyscallFilter, OfTheExtractorMeansWhatThePolicySays) { ExpectProgramMeansPolicy(Parse(ReadFile(kExtract))); }

// SANDBOX.md §6, one by one.
TEST(PythonSyscalls, RefuseWhatIsAlwaysRefused) {
  const SyscallPolicy policy = Parse(ReadFile(kPython));
  const std::array<uint64_t, 6> none{};
  for (const int number : {SYS_io_uring_setup,
                           SYS_io_uring_enter,
                           SYS_io_uring_register,
                           SYS_ptrace,
                           SYS_process_vm_readv,
                           SYS_process_vm_writev,
                           SYS_pidfd_getfd,
                           SYS_kcmp,
                           SYS_bpf,
                           SYS_perf_event_open,
                           SYS_userfaultfd,
                           SYS_keyctl,
                           SYS_add_key,
                           SYS_request_key,
                           SYS_mount,
                           SYS_umount2,
                           SYS_pivot_root,
                           SYS_open_tree,
                           SYS_move_mount,
                           SYS_fsopen,
                           SYS_fsmount,
                           SYS_fsconfig,
                           SYS_mount_setattr,
                           SYS_setns,
                           SYS_unshare,
                           SYS_init_module,
                           SYS_finit_module,
                           SYS_delete_module,
                           SYS_kexec_load,
                           SYS_kexec_file_load,
                           SYS_reboot,
                           SYS_clock_settime,
                           SYS_settimeofday,
                           SYS_swapon,
                           SYS_swapoff,
                           SYS_acct,
                           SYS_quotactl,
                           SYS_open_by_handle_at,
                           SYS_name_to_handle_at,
                           SYS_chroot,
                           SYS_seccomp}) {
    const SyscallAction action = DecideSyscall(policy, number, none);
    EXPECT_EQ(action.kind, Kind::kErrno) << number;
    EXPECT_EQ(action.error, EPERM) << number;
  }
  EXPECT_EQ(DecideSyscall(policy, SYS_clone3, none).error, ENOSYS);
}

SyscallAction Decide(const SyscallPolicy& policy, int number, uint64_t a0, uint64_t a1 = 0) {
  const std::array<uint64_t, 6> args = {a0, a1, 0, 0, 0, 0};
  return DecideSyscall(policy, number, args);
}

TEST(PythonSyscalls, DecideByArgument) {
  const SyscallPolicy policy = Parse(ReadFile(kPython));
  EXPECT_EQ(Decide(policy, SYS_socket, AF_UNIX).kind, Kind::kAllow);
  for (const uint64_t family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH}) {
    EXPECT_EQ(Decide(policy, SYS_socket, family).error, EPERM) << family;
    EXPECT_EQ(Decide(policy, SYS_socket, family | (uint64_t{1} << 32)).error, EPERM) << family;
    EXPECT_EQ(Decide(policy, SYS_socketpair, family).error, EPERM) << family;
  }
  const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  EXPECT_EQ(Decide(policy, SYS_clone, thread).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_clone, SIGCHLD).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD).kind, Kind::kAllow) << "posix_spawn";
  EXPECT_EQ(Decide(policy, SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD).error, EPERM) << "a table of its own";
  for (const uint64_t space : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
                               CLONE_NEWCGROUP, CLONE_PARENT}) {
    EXPECT_EQ(Decide(policy, SYS_clone, space | SIGCHLD).error, EPERM) << space;
    EXPECT_EQ(Decide(policy, SYS_clone, space | (uint64_t{1} << 40)).error, EPERM) << space;
  }
  EXPECT_EQ(Decide(policy, SYS_ioctl, 0, TCGETS).kind, Kind::kAllow);
  for (const uint64_t request : {uint64_t{TIOCSTI}, uint64_t{TIOCLINUX}, uint64_t{0xae01}, uint64_t{0xae80}}) {
    EXPECT_EQ(Decide(policy, SYS_ioctl, 0, request).error, EPERM) << request;
    EXPECT_EQ(Decide(policy, SYS_ioctl, 0, request | (uint64_t{1} << 32)).error, EPERM) << request;
  }
  EXPECT_EQ(Decide(policy, SYS_personality, 0).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_personality, 0xffffffff).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_personality, 0x0400000).error, EPERM);
  EXPECT_EQ(Decide(policy, SYS_prlimit64, 0).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_prlimit64, 1).error, EPERM);
  EXPECT_EQ(Decide(policy, SYS_prctl, PR_SET_NAME).kind, Kind::kAllow);
  EXPECT_EQ(Decide(policy, SYS_prctl, PR_SET_SECCOMP).error, EINVAL);
  EXPECT_EQ(Decide(policy, SYS_prctl, PR_SET_MM).error, EINVAL);
}

// The 74 calls that one workload of ordinary libraries was seen to make (SANDBOX.md §6), but for clone3.
TEST(PythonSyscalls, AllowWhatTheLibrariesUse) {
  const SyscallPolicy policy = Parse(ReadFile(kPython));
  std::istringstream names(
      "access alarm arch_prctl brk chmod close close_range dup2 epoll_create1 epoll_ctl epoll_wait execve fchown "
      "fdatasync ftruncate futex getcwd getdents64 getegid geteuid getgid getpeername getpid getppid getrandom "
      "getrusage "
      "getsockname gettid getuid kill link lseek madvise mbind mkdir mmap mprotect munmap newfstatat openat pipe2 poll "
      "pread64 pwrite64 read readlink recvfrom rename rmdir rseq rt_sigaction rt_sigprocmask rt_sigreturn "
      "sched_getaffinity sched_yield sendfile sendto set_robust_list set_tid_address statfs statx sysinfo uname unlink "
      "unlinkat vfork wait4 write");
  std::string name;
  while (names >> name) {
    const bool allowed = std::any_of(policy.rules.begin(), policy.rules.end(), [&name](const SyscallRule& rule) {
      return rule.name == name && rule.action.kind == Kind::kAllow && rule.conditions.empty();
    });
    EXPECT_TRUE(allowed) << name;
  }
}

TEST(LoadFilter, HoldsInTheKernel) {
  const SyscallPolicy policy = Parse(ReadFile(kPython));
  EXPECT_EQ(InChild(policy, [] { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : errno; }), 0);
  EXPECT_EQ(InChild(policy, [] { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(InChild(policy, [] { return unshare(CLONE_NEWUSER) == 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(InChild(policy, [] { return syscall(SYS_clone3, nullptr, 0) == 0 ? 0 : errno; }), ENOSYS);
  EXPECT_EQ(InChild(policy, [] { return syscall(9999) == 0 ? 0 : errno; }), ENOSYS);
  EXPECT_EQ(InChild(policy, [] { return syscall(SYS_getpid | 0x40000000) > 0 ? 0 : errno; }), 128 + SIGSYS);
#if defined(__x86_64__)
  EXPECT_EQ(InChild(policy,
                    [] {
                      long result = 20;  // getpid of the 32-bit table
                      asm volatile("int $0x80" : "+a"(result) : : "memory");
                      return 0;
                    }),
            128 + SIGSYS);
#endif
}

TEST(LoadFilter, NeedsNoNewPrivsWithoutCapabilities) {
  const auto program = CompileSyscallPolicy(Parse("default errno ENOSYS # x\n"));
  ASSERT_TRUE(program.ok());
  const pid_t child = fork();
  if (child == 0) {
    // Root may load filters as it likes.
    if (geteuid() == 0 && syscall(SYS_setresuid, 65534, 65534, 65534) != 0) _exit(120);
    _exit(LoadFilter(*program));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EACCES);
}

}  // namespace
}  // namespace carrel::sandbox
