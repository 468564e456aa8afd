// What the nursery and the inits of sessions say to the jailer: inits live next to hostile code, and both have seen the
// messages of a server that somebody may have taken over. Promised: whatever they say, each request for a session is
// answered once and no more, what is answered was asked for, a session that was never there does not end, and the
// jailer goes on or says that it cannot.
#include <algorithm>
#include <map>
#include <string>

#include "fuzzer.h"
#include "keeper_world.h"

namespace carrel::fuzz {
namespace {

using namespace sandbox;  // NOLINT(google-build-using-namespace)

constexpr uint64_t kSessions = 3;

struct Fates {
  int answered = 0;
  uint64_t session = 0;  // of one that was made
  int exited = 0;
  int gone = 0;
};

void Check(const KeeperWorld& world, bool in_the_end) {
  std::map<uint64_t, Fates> fates;
  for (const JailerMessage& answer : world.answers) {
    if (answer.kind == JailerMessageKind::kHello || answer.kind == JailerMessageKind::kPolicy) continue;
    if (answer.kind == JailerMessageKind::kExited) {
      const auto made = std::find_if(fates.begin(), fates.end(),
                                     [&](const auto& entry) { return entry.second.session == answer.session; });
      FUZZ_CHECK(made != fates.end() && ++made->second.exited == 1);
      // Planted: a jailer that takes only codes and signals for an end.
      FUZZ_CHECK(!Planted() || answer.status < 1 << 16);
      continue;
    }
    FUZZ_CHECK(answer.request >= 1 && answer.request <= kSessions);
    Fates& fate = fates[answer.request];
    if (answer.kind == JailerMessageKind::kGone) {
      FUZZ_CHECK(++fate.gone == 1);
      continue;
    }
    FUZZ_CHECK(answer.kind == JailerMessageKind::kCreated || answer.kind == JailerMessageKind::kFailed);
    FUZZ_CHECK(++fate.answered == 1);
    if (answer.kind == JailerMessageKind::kCreated) fate.session = answer.session;
    if (answer.kind == JailerMessageKind::kFailed) {
      FUZZ_CHECK(answer.text[0] != '\0' && answer.text[sizeof answer.text - 1] == '\0');
    }
  }
  if (in_the_end) FUZZ_CHECK(fates.size() == kSessions);
}

// The fields that tell; the rest of a message is zero.
template <typename Message>
std::string Said(std::string_view fields, size_t length) {
  Message message;
  std::string bytes(reinterpret_cast<const char*>(&message), sizeof message);
  bytes.replace(0, std::min(fields.size(), bytes.size()), fields.substr(0, bytes.size()));
  bytes.resize(std::min(length, bytes.size()));
  return bytes;
}
std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

// Each thing that is said: a byte of who says it (and as which session), a byte of descriptors and of how much is
// missing, and the beginning of the message.
void Target(std::string_view input) {
  constexpr size_t kFields = 40;
  KeeperWorld world;
  for (uint64_t request = 1; request <= kSessions; ++request) {
    const JailerMessage create{.kind = JailerMessageKind::kCreate, .policy = KeeperWorld::kExec, .request = request};
    world.FromServer(BytesOf(create), kCreateControl);
    world.Turn();
  }
  while (!input.empty() && !world.stopped()) {
    Bytes bytes(input);
    const uint8_t who = bytes.Byte();
    const uint8_t shape = bytes.Byte();
    const std::string_view fields = bytes.Rest().substr(0, kFields);
    input = bytes.Rest().substr(fields.size());
    const size_t length = shape % 16 == 15 ? shape / 16 : ~size_t{0};
    const bool ready = shape % 16 == 14;
    const size_t descriptors = ready ? kGoFdsMax + kReadyTmpfsFds : shape % 4;
    const uint64_t session = 1 + who / 4 % 4;
    switch (who % 4) {
      case 0:
        world.FromNursery(AsBytes(Said<NurseryMessage>(fields, length)), descriptors, shape % 8 >= 4);
        break;
      case 1:
      case 2:
        world.FromInit(session, AsBytes(Said<InitMessage>(fields, length)), descriptors, shape % 8 >= 4);
        break;
      default:
        world.StartAsOrdered(session);
    }
    world.Turn();
    Check(world, false);
  }
  if (world.stopped()) return;
  world.LetTimePass();
  if (world.stopped()) return;
  Check(world, true);
  // The canary: a session that is made as it should be.
  const JailerMessage create{.kind = JailerMessageKind::kCreate, .policy = KeeperWorld::kExec, .request = 99};
  const auto inits = world.inits();
  world.FromServer(BytesOf(create), kCreateControl);
  world.Turn();
  FUZZ_CHECK(world.inits().size() == inits.size() + 1);
  world.StartAsOrdered(world.inits().back());
  const auto made = std::count_if(world.answers.begin(), world.answers.end(), [](const JailerMessage& answer) {
    return answer.kind == JailerMessageKind::kCreated && answer.request == 99;
  });
  FUZZ_CHECK(made == 1);
}

}  // namespace carrel::fuzz
