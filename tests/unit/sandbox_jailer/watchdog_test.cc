// Who is counted and who has to go where no cgroup limits memory.
#include "watchdog.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "uncounted_memory.h"

namespace carrel::sandbox {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(StatusFacts, AreReadFromTheKernelsText) {
  const StatusFacts facts = ReadStatusFacts(
      "Name:\tx\nNSpid:\t4711\t23\t5\nFDSize:\t1024\nVmPeak:\t 9 kB\nVmRSS:\t    2048 kB\nVmPTE:\t     100 kB\n"
      "VmSwap:\t       28 kB\n");
  EXPECT_EQ(facts.resident_bytes, 2 * kMiB);
  EXPECT_EQ(facts.kernel_bytes, 128 * 1024 + 1024 * 8192);
  EXPECT_EQ(facts.table_slots, 1024);
  EXPECT_EQ(facts.innermost_pid, 5);
}

TEST(Sockets, CountOnceWhoeverHoldsThem) {
  std::set<std::string> counted;
  const uint64_t before = SocketBytesOf(::getpid(), 64, &counted);
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  const int copy = ::dup(pair[0]);
  const uint64_t more = SocketBytesOf(::getpid(), 64, &counted);
  EXPECT_GE(more, 2 * 2 * 212992U) << before << " before";
  EXPECT_EQ(SocketBytesOf(::getpid(), 64, &counted), 0U);
  EXPECT_EQ(SocketBytesOf(-1, 64, &counted), 0U) << "a process that has ended";
  for (const int fd : {pair[0], pair[1], copy}) ::close(fd);
}

TEST(StatusFacts, ASmallTableOfDescriptorsAndAnEndedProcessCostNothing) {
  EXPECT_EQ(ReadStatusFacts("FDSize:\t64\n").kernel_bytes, 0);
  EXPECT_EQ(ReadStatusFacts("Name:\tx\nState:\tZ (zombie)\n").resident_bytes, 0);
  EXPECT_EQ(ReadStatusFacts("VmRSS:\nNSpid:\nVmPTE").innermost_pid, -1);
}

TEST(ProcessCpu, IsReadBehindAnyName) {
  const auto cpu = ReadProcessCpu("23 (a) (b 7) S 1 23 23 0 -1 4194304 9 8 7 6 150 50 30 20 20 0 1 0 4711 0 0 0\n");
  ASSERT_TRUE(cpu.has_value());
  EXPECT_EQ(cpu->pid, 23);
  EXPECT_EQ(cpu->start, 4711);
  EXPECT_EQ(cpu->own_ns, 2'000'000'000);
  EXPECT_EQ(cpu->children_ns, 500'000'000);
  for (const char* text : {"", "23", "23 (x) S 1 2", "x (y) S 1 1 1 0 -1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"}) {
    EXPECT_FALSE(ReadProcessCpu(text).has_value()) << text;
  }
}

TEST(CpuTime, OfOneThatHasEndedStays) {
  CpuTime cpu;
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 100}, {.pid = 11, .start = 1, .own_ns = 50}});
  EXPECT_EQ(cpu.ns(), 150);
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 120}});
  EXPECT_EQ(cpu.ns(), 170) << "nobody waited for 11";
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 120}, {.pid = 11, .start = 2, .own_ns = 5}});
  EXPECT_EQ(cpu.ns(), 175) << "its number was given anew";
  cpu.Update({});
  EXPECT_EQ(cpu.ns(), 175);
}

TEST(CpuTime, OfOneThatNobodySawIsItsParents) {
  CpuTime cpu;
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 100}});
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 100, .children_ns = 40}});
  EXPECT_EQ(cpu.ns(), 140);
}

TEST(CpuTime, OfOneThatWasSeenAndWaitedForCountsOnce) {
  CpuTime cpu;
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 100}, {.pid = 11, .start = 1, .own_ns = 50}});
  cpu.Update({{.pid = 10, .start = 1, .own_ns = 100, .children_ns = 55}});
  EXPECT_EQ(cpu.ns(), 155);
}

Session SessionOf(pid_t main) {
  Session session;
  session.main_pid = main;
  return session;
}

SessionMemory MemoryOf(uint64_t shared, std::vector<uint64_t> processes) {
  SessionMemory memory{.shared_bytes = shared, .processes = {}};
  for (pid_t pid = 10; const uint64_t bytes : processes) {
    memory.processes.push_back({.pid = pid, .pid_in_session = pid - 8, .bytes = bytes});
    ++pid;
  }
  return memory;
}

std::vector<pid_t> PidsOf(const Victims& victims) {
  std::vector<pid_t> pids;
  for (const ProcessMemory& process : victims.processes) pids.push_back(process.pid);
  return pids;
}

TEST(Victims, NobodyBelowTheLimit) {
  const Victims victims = ChooseVictims(SessionOf(10), MemoryOf(10, {40, 50}), 100);
  EXPECT_TRUE(victims.processes.empty());
  EXPECT_FALSE(victims.hopeless);
}

TEST(Victims, TheLargestAndNoMoreThanNeeded) {
  EXPECT_EQ(PidsOf(ChooseVictims(SessionOf(10), MemoryOf(0, {30, 60, 40}), 100)), std::vector<pid_t>{11});
  EXPECT_EQ(PidsOf(ChooseVictims(SessionOf(10), MemoryOf(0, {30, 60, 40}), 70)), std::vector<pid_t>{11});
  EXPECT_EQ(PidsOf(ChooseVictims(SessionOf(10), MemoryOf(0, {30, 60, 40}), 69)), (std::vector<pid_t>{11, 12}));
}

TEST(Victims, TheFirstProcessLastAmongEquals) {
  EXPECT_EQ(PidsOf(ChooseVictims(SessionOf(10), MemoryOf(0, {60, 60}), 100)), std::vector<pid_t>{11});
}

TEST(Victims, WhoIsDyingCountsAsGone) {
  Session session = SessionOf(10);
  session.dying = {11};
  EXPECT_TRUE(ChooseVictims(session, MemoryOf(0, {30, 90}), 100).processes.empty());
  EXPECT_EQ(PidsOf(ChooseVictims(session, MemoryOf(0, {50, 90, 55}), 100)), std::vector<pid_t>{12});
}

TEST(Victims, HopelessWhenFilesAloneAreTooMuchOrItGrowsTooFast) {
  EXPECT_TRUE(ChooseVictims(SessionOf(10), MemoryOf(101, {1}), 100).hopeless);
  EXPECT_TRUE(ChooseVictims(SessionOf(10), MemoryOf(0, {201}), 100).hopeless);
  Session session = SessionOf(10);
  session.dying = {10};
  EXPECT_TRUE(ChooseVictims(session, MemoryOf(0, {201}), 100).hopeless);  // dying does not hide it
}

SyscallAction Decide(const SyscallPolicy& policy, int number, uint64_t a1 = 0, uint64_t a3 = 0) {
  const std::array<uint64_t, 6> args{0, a1, 0, a3, 0, 0};
  return DecideSyscall(policy, number, args);
}

TEST(UncountedMemory, IsRefusedInFrontOfThePolicysOwnRules) {
  const auto policy = ParseSyscallPolicy(
      "default errno EPERM # x\nallow memfd_create # x\nallow mmap # x\nallow shmget # x\nallow read # x\n"
      "allow fcntl if a1.lo == F_SETPIPE_SZ # x\nallow fcntl if a1.lo == F_GETFL # x\n",
      "test");
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto watched = RefuseUncountedMemory(*policy);
  ASSERT_TRUE(watched.ok()) << watched.status();
  using Kind = SyscallAction::Kind;
  EXPECT_EQ(Decide(*watched, SYS_memfd_create).error, ENOSYS);
  EXPECT_EQ(Decide(*watched, SYS_shmget).error, ENOSYS);
  EXPECT_EQ(Decide(*watched, SYS_fcntl, F_SETPIPE_SZ).error, EPERM);
  EXPECT_EQ(Decide(*watched, SYS_fcntl, F_GETFL).kind, Kind::kAllow);
  EXPECT_EQ(Decide(*watched, SYS_mmap, 4096, MAP_SHARED | MAP_ANONYMOUS).error, EPERM);
  EXPECT_EQ(Decide(*watched, SYS_mmap, 4096, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_NORESERVE).error, EPERM);
  EXPECT_EQ(Decide(*watched, SYS_mmap, 4096, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB).error, EPERM);
  EXPECT_EQ(Decide(*watched, SYS_mmap, 4096, MAP_PRIVATE | MAP_ANONYMOUS).kind, Kind::kAllow);
  EXPECT_EQ(Decide(*watched, SYS_mmap, 4096, MAP_SHARED).kind, Kind::kAllow);
  EXPECT_EQ(Decide(*watched, SYS_read).kind, Kind::kAllow);
  EXPECT_EQ(Decide(*watched, SYS_write).error, EPERM);  // the policy's own default
  EXPECT_TRUE(CompileSyscallPolicy(*watched).ok());
}

}  // namespace
}  // namespace carrel::sandbox
