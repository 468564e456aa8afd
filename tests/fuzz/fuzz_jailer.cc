// What a server that somebody took over says to its jailer. Promised: what is no request ends the jailer; what is one
// is answered as often as it was asked, and no session has more than its policy allows. The nursery and the inits do
// here what they are told. Before a real jailer: hostile_server_test in tests/integration/sandbox.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "fuzzer.h"
#include "keeper_world.h"

namespace carrel::fuzz {
namespace {

using namespace sandbox;  // NOLINT(google-build-using-namespace)

void Check(const KeeperWorld& world, const std::map<uint64_t, int>& asked) {
  std::map<uint64_t, int> answered;
  std::set<uint64_t> made;
  for (const JailerMessage& answer : world.answers) {
    switch (answer.kind) {
      case JailerMessageKind::kCreated:
        FUZZ_CHECK(made.insert(answer.session).second);
        FUZZ_CHECK(answer.limits.processes <= KeeperWorld::kProcessesCap && answer.limits.memory_bytes <= 1 << 30);
        FUZZ_CHECK(answer.limits.workspace_bytes <= 1 << 20 && answer.limits.open_files <= 1024);
        // Planted: a jailer whose policy allows no more than a thousand processes.
        FUZZ_CHECK(!Planted() || answer.limits.processes <= 1000);
        ++answered[answer.request];
        break;
      case JailerMessageKind::kFailed:
        FUZZ_CHECK(answer.text[sizeof answer.text - 1] == '\0');
        ++answered[answer.request];
        break;
      case JailerMessageKind::kStats:
        ++answered[answer.request];
        break;
      case JailerMessageKind::kExited:
        FUZZ_CHECK(made.contains(answer.session));
        break;
      default:  // GONE answers DESTROY, and what was made with the number of its CREATE
        break;
    }
  }
  for (const auto& [request, times] : answered) {
    const auto at = asked.find(request);
    FUZZ_CHECK(at != asked.end() && times <= at->second);
  }
}

}  // namespace

// Each thing that is said: a byte of descriptors and of how much is missing, then the beginning of the message and its
// limits.
void Target(std::string_view input) {
  constexpr size_t kHead = 24;  // kind, policy, request, session
  constexpr size_t kLimits = 32;
  KeeperWorld world;
  std::map<uint64_t, int> asked;
  std::set<uint64_t> started;
  while (!input.empty() && !world.stopped()) {
    Bytes bytes(input);
    const uint8_t shape = bytes.Byte();
    const std::string_view head = bytes.Rest().substr(0, kHead);
    const std::string_view limits = bytes.Rest().substr(head.size()).substr(0, kLimits);
    input = bytes.Rest().substr(head.size() + limits.size());
    JailerMessage message;
    std::memcpy(static_cast<void*>(&message), head.data(), head.size());
    std::memcpy(static_cast<void*>(&message.limits), limits.data(), limits.size());
    ++asked[message.request];
    const auto whole = BytesOf(message);
    world.FromServer(shape % 16 == 15 ? whole.first(shape / 16) : whole, shape % 8);
    world.Turn();
    for (const uint64_t session : world.inits()) {
      if (shape < 128 && started.insert(session).second) world.StartAsOrdered(session);
    }
    Check(world, asked);
  }
  if (world.stopped()) return;
  world.LetTimePass();
  if (world.stopped()) return;
  Check(world, asked);
  const size_t before = world.inits().size();
  const JailerMessage create{.kind = JailerMessageKind::kCreate, .policy = KeeperWorld::kExec, .request = 0xca9a};
  ++asked[create.request];
  world.FromServer(BytesOf(create), kCreateControl);
  world.Turn();
  FUZZ_CHECK(world.inits().size() == before + 1);
  world.StartAsOrdered(world.inits().back());
  Check(world, asked);
  FUZZ_CHECK(std::any_of(world.answers.begin(), world.answers.end(), [](const JailerMessage& answer) {
    return answer.kind == JailerMessageKind::kCreated && answer.request == 0xca9a;
  }));
}

}  // namespace carrel::fuzz
