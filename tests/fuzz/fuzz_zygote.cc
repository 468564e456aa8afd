// What a zygote says to the jailer: it has libraries of others imported, and more rights than what it forks. Promised:
// whatever it says, it is answered for or given up, another takes its place, and the jailer's books name only zygotes
// that are there. The zygotes here are the ends of sockets.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "absl/time/clock.h"
#include "fuzzer.h"
#include "sandbox/base/message_socket.h"
#include "zygote_keeper.h"

namespace carrel::fuzz {
namespace {

using namespace sandbox;  // NOLINT(google-build-using-namespace)

struct Jailer {
  Jailer() : loop(*EventLoop::Create()) {
    policies.push_back({.name = "fuzzed", .kind = Policy::Kind::kZygote});
    auto plan = EnterPlan::FromPolicy(policies[0]);
    FUZZ_CHECK(plan.ok());
    plans.push_back(*std::move(plan));
    keeper = std::make_unique<ZygoteKeeper>(
        loop.get(), policies, plans, 0,
        ZygoteKeeper::Events{.ready =
                                 [this](uint32_t policy) {
                                   FUZZ_CHECK(policy == 0 && keeper->ready(0));
                                   ++readies;
                                 },
                             .message =
                                 [this](const ZygoteMessage& message, UniqueFd pidfd) {
                                   // A fork that is reported comes with what it is to be watched by.
                                   FUZZ_CHECK(static_cast<bool>(pidfd) == (message.kind == ZygoteMessageKind::kForked));
                                   ++told;
                                   FUZZ_CHECK(!Planted() || message.kind != ZygoteMessageKind::kExited ||
                                              message.session < 1000);
                                 },
                             .lost = [this](uint32_t policy, uint64_t zygote,
                                            bool) { FUZZ_CHECK(policy == 0 && zygotes.erase(zygote) == 1); },
                             .start =
                                 [this](uint32_t policy, uint64_t zygote, int socket) {
                                   FUZZ_CHECK(policy == 0);
                                   zygotes[zygote] = UniqueFd(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
                                   return absl::OkStatus();
                                 }});
  }
  void Turn() {
    for (int i = 0; i < 8; ++i) FUZZ_CHECK(loop->RunOnce(absl::ZeroDuration()).ok());
  }
  std::unique_ptr<EventLoop> loop;
  std::vector<Policy> policies;
  std::vector<EnterPlan> plans;
  std::map<uint64_t, UniqueFd> zygotes;
  int readies = 0;
  int told = 0;
  std::unique_ptr<ZygoteKeeper> keeper;  // last: it calls the rest
};

}  // namespace

void Target(std::string_view input) {
  Jailer jailer;
  const absl::Time start = absl::Now();
  (void)jailer.keeper->StartDue(start);
  FUZZ_CHECK(jailer.zygotes.size() == 1);
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::vector<int> fds = {null.get(), null.get(), null.get()};
  // Messages of a size of their own each: a byte of how many descriptors and how much is missing, then the message.
  while (!input.empty() && !jailer.zygotes.empty()) {
    Bytes bytes(input);
    const uint8_t shape = bytes.Byte();
    const size_t length = std::min(bytes.Rest().size(), sizeof(ZygoteMessage) - (shape % 16 == 15 ? shape / 16 : 0));
    const std::string_view said = bytes.Rest().substr(0, length);
    input = bytes.Rest().substr(length);
    std::string message(said);
    if (shape % 16 != 15) message.resize(sizeof(ZygoteMessage));
    if (message.empty()) break;
    const int socket = jailer.zygotes.begin()->second.get();
    (void)SendMessage(socket, std::as_bytes(std::span(message.data(), message.size())),
                      std::span(fds).first(shape % 4));
    jailer.Turn();
  }
  // The canary: another one starts, after a while, and is taken up as soon as it is ready.
  if (jailer.zygotes.empty()) (void)jailer.keeper->StartDue(start + absl::Hours(1));
  if (!jailer.keeper->given_up(0).empty()) return;
  FUZZ_CHECK(jailer.zygotes.size() == 1);
  if (jailer.keeper->ready(0)) return;
  const ZygoteMessage ready{.kind = ZygoteMessageKind::kReady};
  FUZZ_CHECK(SendMessage(jailer.zygotes.begin()->second.get(), BytesOf(ready)).ok());
  jailer.Turn();
  FUZZ_CHECK(jailer.keeper->ready(0) && jailer.readies > 0);
}

}  // namespace carrel::fuzz
