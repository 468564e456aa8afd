// The real extractor in the real jail under the policy that ships.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jail_fixture.h"
#include "retrieval/extraction.h"
#include "scan.h"

namespace carrel::retrieval {

class JailedExtraction : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> arguments = sandbox::UsualArguments();
    arguments.insert(arguments.end(), {"--runtimes", CARREL_SHARE "/policies"});
    auto jailer = sandbox::JailerUnderTest::Start({.arguments = std::move(arguments)});
    ASSERT_TRUE(jailer.ok()) << jailer.status();
    jailer_ = *std::move(jailer);
    extractor_ = MakeJailedExtractor(jailer_->maker());
  }

  // Thread-safe.
  Extraction Extract(UniqueFd bytes, DocumentType type = DocumentType::kPdf, const ExtractionLimits& limits = {}) {
    auto extraction = extractor_->Extract({.bytes = std::move(bytes), .type = type, .limits = limits});
    EXPECT_TRUE(extraction.ok()) << extraction.status();
    return extraction.ok() ? *std::move(extraction) : Extraction{};
  }
  // `name` decides the type.
  Extraction ExtractBytes(const std::string& bytes, const std::string& name = "document.pdf",
                          const ExtractionLimits& limits = {}) {
    return Extract(testing::FileOf(bytes), *DocumentTypeOf(name), limits);
  }
  Extraction ExtractTestFile(const std::string& name) {
    const std::string path = std::string(CARREL_TESTDATA "/") + name;
    return Extract(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), *DocumentTypeOf(name));
  }

  std::unique_ptr<sandbox::JailerUnderTest> jailer_;
  std::unique_ptr<Extractor> extractor_;
};

}  // namespace carrel::retrieval
