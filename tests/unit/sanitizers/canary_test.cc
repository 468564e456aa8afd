// What the sanitizers must find in this build, with the options, annotations and suppressions that all tests have: a
// sanitizer that says nothing has to be trusted for a reason. Built with sanitizers only.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <climits>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "carrel/interpreter/v1/code_interpreter.grpc.pb.h"

namespace {

#if defined(__SANITIZE_THREAD__)

namespace pb = carrel::interpreter::v1;

void InTwoThreads(const std::function<void(int)>& body) {
  std::thread one([&body] { body(0); });
  std::thread other([&body] { body(1); });
  one.join();
  other.join();
}

// The run time's exit code when it has reported something.
const ::testing::ExitedWithCode kReported(66);

class ThreadSanitizer : public ::testing::Test {
 protected:
  ThreadSanitizer() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ThreadSanitizer, FindsARace) {
  EXPECT_EXIT(
      {
        int shared = 0;
        InTwoThreads([&shared](int) { ++shared; });
        std::exit(shared > 100 ? 1 : 0);
      },
      kReported, "data race");
}

TEST_F(ThreadSanitizer, FindsARaceUnderTwoMutexes) {
  EXPECT_EXIT(
      {
        int shared = 0;
        absl::Mutex mutexes[2];
        InTwoThreads([&](int i) {
          const absl::MutexLock lock(&mutexes[i]);
          ++shared;
        });
        std::exit(shared > 100 ? 1 : 0);
      },
      kReported, "data race");
}

// absl_mutex.cc: what the library orders is seen.
TEST_F(ThreadSanitizer, KnowsAbslsMutexes) {
  EXPECT_EXIT(
      {
        absl::Mutex mutex;
        absl::CondVar changed;
        absl::Notification done;
        std::vector<int> shared;
        int turn = 0;
        std::thread other([&] {
          for (int i = 0; i < 100; ++i) {
            const absl::MutexLock lock(&mutex);
            mutex.Await(absl::Condition(
                +[](int* value) { return *value % 2 == 1; }, &turn));
            shared.push_back(i);
            ++turn;
            changed.SignalAll();
          }
          done.Notify();
        });
        for (int i = 0; i < 100; ++i) {
          const absl::MutexLock lock(&mutex);
          while (turn % 2 == 1) changed.Wait(&mutex);
          shared.push_back(i);
          ++turn;
        }
        done.WaitForNotification();
        shared.clear();
        other.join();
        std::exit(shared.empty() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// A service of ours whose calls touch one thing, or each its own.
class Service final : public pb::CodeInterpreter::Service {
 public:
  explicit Service(bool guarded) : guarded_(guarded) {}
  grpc::Status GetSession(grpc::ServerContext*, const pb::GetSessionRequest*, pb::Session* session) override {
    std::unique_ptr<absl::MutexLock> lock;
    if (guarded_) lock = std::make_unique<absl::MutexLock>(&mutex_);
    session->set_session_id(std::to_string(++calls_));
    return grpc::Status::OK;
  }

 private:
  const bool guarded_;
  absl::Mutex mutex_;
  int calls_ = 0;
};

// From two channels at once: the two calls are on two of gRPC's threads.
void CallTwice(bool guarded) {
  Service service(guarded);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  InTwoThreads([port](int i) {
    grpc::ChannelArguments own;
    own.SetInt("carrel.test.channel", i);
    const auto stub = pb::CodeInterpreter::NewStub(
        grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), own));
    for (int call = 0; call < 50; ++call) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      pb::Session session;
      if (!stub->GetSession(&context, {}, &session).ok()) std::exit(2);
    }
  });
  server->Shutdown();
}

TEST_F(ThreadSanitizer, FindsARaceInAHandlerOfGrpc) {
  EXPECT_EXIT((CallTwice(false), std::exit(0)), kReported, "data race");
}

TEST_F(ThreadSanitizer, KnowsWhatGrpcOrders) {
  EXPECT_EXIT((CallTwice(true), std::exit(0)), ::testing::ExitedWithCode(0), "");
}

#elif defined(__SANITIZE_ADDRESS__)

TEST(AddressSanitizer, FindsAReadOfFreedMemory) {
  EXPECT_DEATH(
      {
        auto* volatile freed = new int(0);
        delete freed;
        std::exit(*freed);
      },
      "heap-use-after-free");
}

TEST(AddressSanitizer, FindsALeak) {
  EXPECT_DEATH(
      {
        static void* volatile lost = malloc(77);  // NOLINT: the point
        lost = nullptr;
        std::exit(lost == nullptr ? 0 : 1);
      },
      "77 byte");
}

TEST(UndefinedBehaviorSanitizer, FindsAnOverflow) {
  EXPECT_DEATH(
      {
        volatile int value = INT_MAX;
        value = value + 1;
        std::exit(value == 0 ? 0 : 1);
      },
      "signed integer overflow");
}

#endif

}  // namespace
