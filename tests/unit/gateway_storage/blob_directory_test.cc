#include "gateway/storage/blob_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"

namespace carrel::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class BlobDirectoryTest : public ::testing::Test {
 protected:
  BlobDirectoryTest() {
    root_ = std::filesystem::temp_directory_path() / absl::StrCat("gateway-blobs-", getpid(), "-", counter_++);
    auto opened = OpenBlobDirectory(root_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    files_ = *std::move(opened);
  }
  ~BlobDirectoryTest() override { std::filesystem::remove_all(root_); }

  StoredBlob Put(const std::string& bytes) {
    auto writer = files_->Create(1 << 20);
    EXPECT_TRUE(writer.ok() && (*writer)->Append(bytes).ok());
    auto stored = (*writer)->Finish();
    EXPECT_TRUE(stored.ok()) << stored.status();
    return *std::move(stored);
  }

  std::filesystem::path root_;
  std::unique_ptr<FileStore> files_;
  static inline int counter_ = 0;
};

TEST_F(BlobDirectoryTest, BytesAreFoundByTheirHash) {
  StoredBlob stored = Put("abc");
  EXPECT_EQ(stored.blob.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(stored.blob.size_bytes, 3u);
  auto reader = files_->Open(stored.blob.sha256);
  ASSERT_TRUE(reader.ok());
  std::string buffer(10, '\0');
  EXPECT_EQ((*reader)->Read({buffer.data(), buffer.size()}).value(), 3u);
  EXPECT_EQ(buffer.substr(0, 3), "abc");
  EXPECT_EQ((*reader)->Read({buffer.data(), buffer.size()}).value(), 0u);
  EXPECT_TRUE(absl::IsNotFound(files_->Open(std::string(64, '0')).status()));
}

TEST_F(BlobDirectoryTest, APinnedBlobIsNotRemoved) {
  StoredBlob first = Put("same");
  StoredBlob second = Put("same");
  first.pin.reset();
  EXPECT_TRUE(files_->Remove(first.blob.sha256).ok());
  EXPECT_TRUE(files_->Open(first.blob.sha256).ok());
  second.pin.reset();
  EXPECT_TRUE(files_->Remove(first.blob.sha256).ok());
  EXPECT_FALSE(files_->Open(first.blob.sha256).ok());
  EXPECT_TRUE(files_->Remove(first.blob.sha256).ok());
}

TEST_F(BlobDirectoryTest, WhatIsNotFinishedLeavesNothingAndTooMuchIsRefused) {
  {
    auto writer = files_->Create(4);
    ASSERT_TRUE((*writer)->Append("1234").ok());
    EXPECT_TRUE(absl::IsResourceExhausted((*writer)->Append("5")));
  }
  EXPECT_THAT(*files_->List(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(root_ / "tmp"));
  StoredBlob kept = Put("kept");
  EXPECT_THAT(*files_->List(), ElementsAre(kept.blob.sha256));
}

}  // namespace
}  // namespace carrel::gateway
