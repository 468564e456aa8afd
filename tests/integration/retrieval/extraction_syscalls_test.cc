// Every rule of the extractor's system call policy is needed by something: a tracer looks on while documents of every
// type are read, drawn and recognised, and while others end at their limits. A rule that none of them meets must go, or
// get a document that shows what it is for.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "jailed_extraction.h"
#include "pdf/pdf_writer.h"
#include "retrieval/page_painter.h"
#include "retrieval/recognition.h"
#include "sandbox/seccomp.h"
#include "scan.h"
#include "support/missing_layer.h"
#include "support/syscall_needs.h"
#include "support/syscall_watch.h"

namespace carrel::retrieval {
namespace {

constexpr char kPolicy[] = CARREL_SHARE "/policies/extract/extract.syscalls";

std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class ExtractionSyscalls : public JailedExtraction {
 protected:
  void ReadEveryType() {
    for (const char* folder : {"/office", "/pdf/prose"}) {
      for (const auto& entry : std::filesystem::directory_iterator(std::string(CARREL_TESTDATA) + folder)) {
        const std::string name = entry.path().filename();
        if (!DocumentTypeOf(name)) continue;
        const Extraction read =
            Extract(UniqueFd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC)), *DocumentTypeOf(name));
        EXPECT_NE(read.verdict, Verdict::kInternal) << name;
      }
    }
    const std::pair<const char*, const char*> texts[] = {
        {"a.html", "<h1>One</h1><p>Two &eacute; <table><tr><td>3</table>"},
        {"a.csv", "a,b\n1,\"2\n3\"\n"},
        {"a.tsv", "a\tb\n1\t2\n"},
        {"a.jsonl", "{\"a\": 1}\n{\"a\": [2, \"b\"]}\n"},
        {"a.md", "# One\n\nTwo\n"},
        {"a.txt", "One. Two.\n"},
        {"a.py", "def one():\n    return 2\n"}};
    for (const auto& [name, text] : texts) EXPECT_EQ(ExtractBytes(text, name).verdict, Verdict::kRead) << name;
  }
  // Of which more is held than a page of memory at a time: what is grown, and given back.
  void ReadALargeOne() {
    std::string page;
    for (int i = 0; i < 100'000; ++i) page += "<p>word</p>";
    EXPECT_EQ(ExtractBytes(page, "large.html").verdict, Verdict::kRead);
  }
  // The handler of a crash that is no want of memory comes back.
  void Shake() {
    std::jthread shaker([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (const pid_t pid : sandbox::Descendants(jailer_->process().pid())) {
          std::string name;
          std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> std::ws, name);
          std::string caught;
          std::ifstream status("/proc/" + std::to_string(pid) + "/status");
          while (std::getline(status, caught) && !caught.starts_with("SigCgt:")) {
          }
          // Once it has one for SIGABRT.
          if (name == "carrel-extract" && (std::stoull(caught.substr(7), nullptr, 16) & (1ULL << (SIGABRT - 1))) != 0) {
            ::kill(pid, SIGABRT);
          }
        }
        absl::SleepFor(absl::Milliseconds(5));
      }
    });
    EXPECT_EQ(ExtractBytes(testing::Bomb(9), "bomb.pdf", {.cpu_seconds_max = 1}).verdict, Verdict::kLimit);
  }
  // Each in the way of its own.
  void ReachTheLimits() {
    EXPECT_EQ(ExtractBytes(testing::Bomb(9), "bomb.pdf", {.memory_bytes_max = 64u << 20}).verdict, Verdict::kLimit);
    Shake();
  }
  void DrawAndRecognise() {
    const auto painter = MakeJailedPainter(jailer_->maker());
    for (const char* name : {"ligatures.pdf", "plain.pdf", "cjk_japanese.pdf"}) {
      const std::string path = std::string(CARREL_TESTDATA "/pdf/prose/") + name;
      PictureRequest request{.page_width = 595, .page_height = 842, .boxes = {{72, 72, 300, 90}}};
      request.bytes = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      EXPECT_TRUE(painter->Paint(std::move(request)).ok()) << name;
    }
    const std::string page = testing::PdfOfPages({testing::ShowText("The lighthouse stands on a cliff.")});
    const std::string scan = testing::ScanOf(testing::FileOf(page), *painter);
    const auto recognising = MakeJailedExtractor(jailer_->maker(), "extract", {.enabled = true});
    const auto read = recognising->Extract({.bytes = testing::FileOf(scan), .type = DocumentType::kPdf});
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->verdict, Verdict::kRead) << read->message;
    EXPECT_TRUE(read->document.pages.at(0).recognised);
  }
};

TEST_F(ExtractionSyscalls, EveryRuleThatAllowsIsNeededByADocument) {
  CARREL_NEED("ROOT", ::geteuid() == 0, "tracing what other users run takes root");
  ASSERT_TRUE(RecognitionIsInstalled()) << "apt-get install tesseract-ocr (./dev setup)";
  const auto policy = sandbox::ParseSyscallPolicy(ReadWhole(kPolicy), kPolicy);
  ASSERT_TRUE(policy.ok()) << policy.status();
  testing::SyscallNeeds needs(*policy);
  {
    testing::SyscallWatch watch(jailer_->nursery_pid(),
                                [&](int number, const auto& arguments) { needs.Call(number, arguments); });
    const absl::Status attached = watch.WaitUntilAttached();
    ASSERT_TRUE(attached.ok()) << attached;
    ReadEveryType();
    ReadALargeOne();
    ReachTheLimits();
    DrawAndRecognise();
  }
  EXPECT_EQ(absl::StrJoin(needs.Unneeded(), "\n"), "") << "of " << kPolicy;
}

}  // namespace
}  // namespace carrel::retrieval
