// An Office document: parts in a ZIP archive, found by their relationships. The only file that includes libzip is
// office_package.cc.
//
// Names of entries are looked up, never used as paths: nothing is written, links and ".." lead nowhere, and archives
// within the archive are not opened. Throws Refusal and ShapeLimit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace carrel::retrieval::extract {

inline constexpr uint32_t kZipEntriesMax = 20'000;
inline constexpr uint64_t kZipInflatedBytesMax = 512u << 20;  // of all parts that are read
inline constexpr uint64_t kPartBytesMax = 96u << 20;          // of one that is held in memory
// Deflate reaches 1030; a sheet of nothing but zeros, as openpyxl writes it, has 17.
inline constexpr uint64_t kZipRatioMax = 500;
inline constexpr uint64_t kZipRatioFromBytes = 4u << 20;  // inflated; below it no ratio does harm

struct Relationship {
  std::string type;    // the last piece of its address: "slide", "notesSlide", "styles"
  std::string target;  // the part's name, without a slash before it; "" when it is outside of the document
};
using Relationships = std::map<std::string, Relationship, std::less<>>;  // by id

class OfficePackage final {
 public:
  // `name_says`: "a Word document (docx)"; `root`: the main part's root element. Refuses what is no ZIP archive, an
  // encrypted or old document (OLE), and another kind of document. `bytes` must outlive it.
  OfficePackage(std::string_view bytes, std::string_view name_says, std::string_view root);
  ~OfficePackage();
  OfficePackage(const OfficePackage&) = delete;
  OfficePackage& operator=(const OfficePackage&) = delete;

  [[nodiscard]] const std::string& main_part() const { return main_part_; }
  // The whole of a part, or none when there is no such part.
  [[nodiscard]] std::optional<std::string> Read(const std::string& part);
  // The same in pieces, of any size; false: no such part.
  bool Stream(const std::string& part, const std::function<void(std::string_view)>& take);
  [[nodiscard]] Relationships RelationshipsOf(const std::string& part);
  // Of docProps/core.xml; "" when none.
  [[nodiscard]] std::string Title();

 private:
  void FindMainPart(std::string_view name_says, std::string_view root);
  struct Archive;
  const std::unique_ptr<Archive> archive_;
  std::string main_part_;
  uint64_t inflated_ = 0;
};

// The first relationship of that type, its target; "" when none.
[[nodiscard]] std::string TargetOf(const Relationships& relationships, std::string_view type);

}  // namespace carrel::retrieval::extract
