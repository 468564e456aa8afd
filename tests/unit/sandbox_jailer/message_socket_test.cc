#include "sandbox/base/message_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>

#include "sandbox/base/temp_dir.h"

namespace carrel {
namespace {

TEST(MessageSocket, CarriesBytesAndDescriptors) {
  auto pair = MakeSocketPair();
  auto pipe = MakePipe();
  ASSERT_TRUE(pair.ok() && pipe.ok());
  const uint64_t number = 42;
  const int fd = pipe->write.get();
  ASSERT_TRUE(SendMessage(pair->first.get(), BytesOf(number), std::span(&fd, 1)).ok());
  uint64_t received_number = 0;
  auto received = ReceiveMessage(pair->second.get(), WritableBytesOf(received_number));
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->size, sizeof number);
  EXPECT_EQ(received_number, 42);
  ASSERT_EQ(received->fds.size(), 1);
  EXPECT_EQ(::fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  ASSERT_EQ(::write(received->fds[0].get(), "x", 1), 1);
}

TEST(MessageSocket, ALongerMessageIsDataLossAndLeaksNothing) {
  auto pair = MakeSocketPair();
  auto pipe = MakePipe();
  ASSERT_TRUE(pair.ok() && pipe.ok());
  const std::array<std::byte, 100> bytes{};
  const int fd = pipe->write.get();
  ASSERT_TRUE(SendMessage(pair->first.get(), bytes, std::span(&fd, 1)).ok());
  std::array<std::byte, 10> small;
  EXPECT_EQ(ReceiveMessage(pair->second.get(), small).status().code(), absl::StatusCode::kDataLoss);
  pipe->write.reset();
  char nothing;
  EXPECT_EQ(::read(pipe->read.get(), &nothing, 1), 0);  // no other writer is left
}

TEST(MessageSocket, ThatDescriptorsFoundNoRoomIsSaidAndTheMessageIsThere) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  const int value = 7;
  const std::array<int, 2> fds{0, 0};
  ASSERT_TRUE(SendMessage(pair->first.get(), BytesOf(value), fds).ok());
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const UniqueFd next(::dup(0));
  const rlimit none{static_cast<rlim_t>(next.get()), limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  int got = 0;
  const auto received = ReceiveMessage(pair->second.get(), WritableBytesOf(got));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_TRUE(received->fds_lost);
  EXPECT_EQ(got, 7);
}

TEST(MessageSocket, AClosedPeerIsUnavailableToSendersAndEmptyToReaders) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  pair->second.reset();
  const int value = 1;
  EXPECT_EQ(SendMessage(pair->first.get(), BytesOf(value)).code(), absl::StatusCode::kUnavailable);
  int got = 0;
  auto received = ReceiveMessage(pair->first.get(), WritableBytesOf(got));
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(received->size, 0);
}

TEST(MessageSocket, AFullNonBlockingSocketSaysSo) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(SetNonBlocking(pair->first.get()).ok());
  const std::array<std::byte, 4096> bytes{};
  absl::Status status;
  for (int i = 0; i < 10'000 && status.ok(); ++i) status = SendMessage(pair->first.get(), bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

// The kernel tells first that it died with unread messages.
TEST(MessageSocket, WhatAPeerSaidBeforeItsEndIsHeard) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  const uint64_t never_read = 1;
  const uint64_t last_words = 42;
  ASSERT_TRUE(SendMessage(pair->first.get(), BytesOf(never_read)).ok());
  ASSERT_TRUE(SendMessage(pair->second.get(), BytesOf(last_words)).ok());
  pair->second.reset();
  uint64_t heard = 0;
  const auto received = ReceiveMessage(pair->first.get(), WritableBytesOf(heard));
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->size, sizeof heard);
  EXPECT_EQ(heard, last_words);
  const auto end = ReceiveMessage(pair->first.get(), WritableBytesOf(heard));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->size, 0);
}

TEST(TempDir, GoesAwayWithWhatIsInIt) {
  std::string path;
  {
    auto directory = TempDir::Create();
    ASSERT_TRUE(directory.ok()) << directory.status();
    path = directory->path();
    const UniqueFd file(::open((path + "/file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    EXPECT_TRUE(static_cast<bool>(file));
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace carrel
