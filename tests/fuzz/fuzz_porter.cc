// Both ends of the porter's protocol: requests of a server that somebody took over, and answers of a porter that lives
// next to hostile code. Promised: nothing outside of the workspace is touched, the porter goes on serving, and the
// client gives a status or a listing that holds what was said.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "fuzzer.h"
#include "porter.h"
#include "sandbox/base/message_socket.h"
#include "sandbox/base/temp_dir.h"
#include "workspace_client.h"

namespace carrel::fuzz {
namespace {

using namespace sandbox;  // NOLINT(google-build-using-namespace)

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

// A workspace with a neighbour that nothing may reach.
struct World {
  World() : directory(*TempDir::Create()) {
    workspace = directory.path() + "/workspace";
    secret = directory.path() + "/secret";
    FUZZ_CHECK(::mkdir(workspace.c_str(), 0700) == 0 && ::mkdir(secret.c_str(), 0700) == 0);
    FUZZ_CHECK(::symlink("../secret", (workspace + "/link").c_str()) == 0);
  }
  [[nodiscard]] UniqueFd Open() const {
    return UniqueFd(::open(workspace.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  TempDir directory;
  std::string workspace;
  std::string secret;
};

void Serve(Porter& porter) {
  for (int i = 0; i < 4; ++i) {
    std::vector<pollfd> polled;
    porter.AddTo(&polled);
    if (::poll(polled.data(), polled.size(), 0) <= 0) return;
    porter.Serve(polled, 0);
  }
}

void HostileServer(std::string_view input) {
  static const World world;
  auto pair = MakeSocketPair();
  FUZZ_CHECK(pair.ok());
  Porter porter(std::move(pair->second), world.Open(), {.uid = ::getuid(), .gid = ::getgid()});
  Bytes bytes(input);
  const int descriptors = bytes.Byte() % 4;
  auto reply = MakeSocketPair();
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::vector<int> fds = {reply->second.get(), null.get(), null.get()};
  std::string message(bytes.Rest().substr(0, sizeof(PorterRequest) + kPorterPathBytesMax));
  if (message.size() >= sizeof(PorterRequest)) {
    PorterRequest request;
    std::memcpy(&request, message.data(), sizeof request);
    // Signals go to every process that this one may signal: not from a test outside of a pid namespace.
    if (request.kind == PorterRequestKind::kKillAll || request.kind == PorterRequestKind::kInterruptAll) return;
    if (input.size() % 2 == 0) request.path_bytes = static_cast<uint32_t>(message.size() - sizeof request);
    std::memcpy(message.data(), &request, sizeof request);
  }
  if (message.empty()) return;
  if (Planted() && message.size() >= sizeof(PorterRequest)) {
    PorterRequest request;
    std::memcpy(&request, message.data(), sizeof request);
    // Planted: a porter that waits for the path which a message announces and does not bring.
    FUZZ_CHECK(request.path_bytes <= message.size() || descriptors == 0);
  }
  FUZZ_CHECK(
      SendMessage(pair->first.get(), AsBytes(message), std::span(fds).first(static_cast<size_t>(descriptors))).ok());
  Serve(porter);
  // The canary: a request as it should be is served.
  auto canary = MakeSocketPair();
  const PorterRequest list{.kind = PorterRequestKind::kList, .depth_max = 4, .entries_max = 100, .time_max_ms = 1000};
  const int answer_to = canary->second.get();
  FUZZ_CHECK(SendMessage(pair->first.get(), BytesOf(list), std::span(&answer_to, 1)).ok());
  Serve(porter);
  std::vector<std::byte> buffer(kPorterMessageBytesMax);
  FUZZ_CHECK(SetNonBlocking(canary->first.get()).ok());
  const auto answer = ReceiveMessage(canary->first.get(), buffer);
  FUZZ_CHECK(answer.ok() && answer->size >= sizeof(PorterReply));
  FUZZ_CHECK(::rmdir(world.secret.c_str()) == 0 && ::mkdir(world.secret.c_str(), 0700) == 0);  // it is still empty
}

void HostilePorter(std::string_view input) {
  auto pair = MakeSocketPair();
  FUZZ_CHECK(pair.ok());
  WorkspaceClient client(std::move(pair->first));
  Bytes bytes(input);
  const uint8_t what = bytes.Byte();
  std::thread porter([&, socket = std::move(pair->second)] {
    std::vector<std::byte> buffer(sizeof(PorterRequest) + kPorterPathBytesMax);
    const auto request = ReceiveMessage(socket.get(), buffer);
    if (!request.ok() || request->fds.empty()) return;
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int fd = null.get();
    const std::string_view said = bytes.Rest().substr(0, kPorterMessageBytesMax);
    if (said.empty()) return;
    (void)SendMessage(request->fds[0].get(), AsBytes(said), std::span(&fd, what % 3 == 0 ? 1 : 0));
  });
  switch (what % 4) {
    case 0:
      FUZZ_CHECK(!client.OpenRead("x").ok());  // /dev/null is no regular file
      break;
    case 1: {
      const auto listing = client.List({.entries_max = 10});
      FUZZ_CHECK(!listing.ok() || listing->entries.size() <= 10);
      break;
    }
    case 2:
      (void)client.Remove("x");
      break;
    default:
      (void)client.MakeDirectory("x", {});
  }
  porter.join();
}

}  // namespace

void Target(std::string_view input) {
  if (input.empty()) return;
  if (input.front() == 'p') return HostilePorter(input.substr(1));
  HostileServer(input.substr(1));
}

}  // namespace carrel::fuzz
