#include "sandbox/base/event_loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sandbox/base/message_socket.h"

namespace carrel {
namespace {

class EventLoopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = *std::move(loop);
    auto pair = MakeSocketPair();
    ASSERT_TRUE(pair.ok());
    pair_ = *std::move(pair);
  }
  std::unique_ptr<EventLoop> loop_;
  SocketPair pair_;
};

TEST_F(EventLoopTest, CallsWhenReadableAndWhenTheOtherSideIsGone) {
  int calls = 0;
  ASSERT_TRUE(loop_->Watch(pair_.first.get(), [&] { ++calls; }).ok());
  ASSERT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok());
  EXPECT_EQ(calls, 0);
  ASSERT_EQ(::write(pair_.second.get(), "x", 1), 1);
  ASSERT_TRUE(loop_->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(calls, 1);
  pair_.second.reset();
  ASSERT_TRUE(loop_->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(calls, 2);
}

TEST_F(EventLoopTest, ACallbackMayForgetItselfAndTheOthers) {
  int calls = 0;
  const auto both = [&] {
    ++calls;
    loop_->Forget(pair_.first.get());
    loop_->Forget(pair_.second.get());
  };
  ASSERT_TRUE(loop_->Watch(pair_.first.get(), both).ok());
  ASSERT_TRUE(loop_->Watch(pair_.second.get(), both).ok());
  ASSERT_EQ(::write(pair_.first.get(), "x", 1), 1);
  ASSERT_EQ(::write(pair_.second.get(), "x", 1), 1);
  ASSERT_TRUE(loop_->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, AReusedNumberIsAnotherWatch) {
  int old_calls = 0;
  int new_calls = 0;
  const int number = pair_.first.get();
  ASSERT_TRUE(loop_->Watch(number, [&] { ++old_calls; }).ok());
  loop_->Forget(number);
  ASSERT_TRUE(loop_->Watch(number, [&] { ++new_calls; }).ok());
  ASSERT_EQ(::write(pair_.second.get(), "x", 1), 1);
  ASSERT_TRUE(loop_->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(old_calls, 0);
  EXPECT_EQ(new_calls, 1);
}

TEST_F(EventLoopTest, WritableOnRequest) {
  int calls = 0;
  ASSERT_TRUE(loop_->Watch(pair_.first.get(), [&] { ++calls; }).ok());
  loop_->WatchWritable(pair_.first.get(), true);
  ASSERT_TRUE(loop_->RunOnce(absl::Seconds(5)).ok());
  EXPECT_EQ(calls, 1);
  loop_->WatchWritable(pair_.first.get(), false);
  ASSERT_TRUE(loop_->RunOnce(absl::ZeroDuration()).ok());
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace carrel
