// XML through expat. The only file that includes expat is xml.cc.
//
// Names are local ones: prefixes are the writer's choice. Limits: depth, and no document type (no part of an Office
// file declares one; it is how XML bombs are built). Throws Refusal (DAMAGED) when it is no XML, ShapeLimit beyond the
// depth.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace carrel::retrieval::extract {

inline constexpr uint32_t kXmlDepthMax = 256;
inline constexpr uint32_t kXmlNodesMax = 4'000'000;

// Names with their prefixes, and values; valid during the call.
class XmlAttributes final {
 public:
  explicit XmlAttributes(const char** pairs) : pairs_(pairs) {}
  // By the local name; `prefixed` tells r:id from id. "" when none.
  [[nodiscard]] std::string_view Get(std::string_view local, bool prefixed = false) const;
  [[nodiscard]] const char** pairs() const { return pairs_; }

 private:
  const char** pairs_;
};

class XmlEvents {
 public:
  virtual ~XmlEvents() = default;
  virtual void Begin(std::string_view name, const XmlAttributes& attributes) = 0;
  virtual void End(std::string_view name) = 0;
  virtual void Text(std::string_view text) = 0;  // in pieces
};

class XmlParser final {
 public:
  // `part`: its name, for the sentence. `events` must outlive it; what it throws passes through Feed.
  XmlParser(std::string part, XmlEvents& events);
  ~XmlParser();
  XmlParser(const XmlParser&) = delete;
  XmlParser& operator=(const XmlParser&) = delete;
  void Feed(std::string_view bytes);
  void Finish();

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

// A whole document in memory. Node 0 is the root element.
class XmlTree final {
 public:
  struct Node {
    uint32_t name = 0;  // index into names; kText: a piece of text
    uint32_t first_child = 0;
    uint32_t next = 0;   // the next sibling; 0: none
    uint32_t begin = 0;  // of text: in the store. Of elements: the first attribute
    uint32_t size = 0;   // bytes of text, number of attributes
  };
  using Id = uint32_t;

  // ShapeLimit beyond kXmlNodesMax.
  [[nodiscard]] static XmlTree Parse(std::string part, std::string_view bytes);

  [[nodiscard]] bool IsText(Id id) const { return nodes_[id].name == kText; }
  [[nodiscard]] std::string_view Name(Id id) const;  // "" of text
  [[nodiscard]] std::string_view TextOf(Id id) const;
  [[nodiscard]] std::string_view Attribute(Id id, std::string_view local, bool prefixed = false) const;
  // The first child of that name; 0 (the root, which is nobody's child): none.
  [[nodiscard]] Id Child(Id id, std::string_view name) const;
  [[nodiscard]] Id FirstChild(Id id) const { return nodes_[id].first_child; }
  [[nodiscard]] Id Next(Id id) const { return nodes_[id].next; }
  template <typename Do>
  void EachChild(Id id, Do call) const {
    for (Id child = nodes_[id].first_child; child != 0; child = nodes_[child].next) call(child);
  }

 private:
  friend class XmlTreeBuilder;
  static constexpr uint32_t kText = UINT32_MAX;
  struct Attr {
    uint32_t name_begin;  // with its prefix, in the store
    uint32_t name_size;
    uint32_t value_begin;
    uint32_t value_size;
  };
  std::vector<Node> nodes_;
  std::vector<Attr> attributes_;
  std::vector<std::string> names_;
  std::string store_;
};

}  // namespace carrel::retrieval::extract
