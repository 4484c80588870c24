// ContentFileEvents of src/native/addon.ts: how they come from any thread to JavaScript.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "fuse/content_file.h"
#include "napi/environment.h"

namespace podfs {

// Lives as long as the file, which may be longer than its JavaScript object and the environment.
class ContentFileEvents final : public ContentFile::Listener, public std::enable_shared_from_this<ContentFileEvents> {
 public:
  // `object`, of the JavaScript object that Keep() is called with, stays until Silence().
  ContentFileEvents(Environment* environment, const Napi::ObjectReference* object)
      : environment_(environment), mailbox_(environment->mailbox()), object_(object) {}

  void OnMiss(uint64_t first, uint64_t count) override;
  void OnTrigger(uint64_t block) override;

  // --- The event-loop thread only.
  // Lets the object hold the functions that are called. A property, not a reference: the file, its events and whoever
  // owns both refer to each other, and the garbage collector must see that.
  static void Keep(Napi::Object object, const Napi::Value& events);
  // Nothing is called any more, of what has been posted neither.
  void Silence() { object_ = nullptr; }

 private:
  void Post(const char* event, std::vector<double> arguments);
  void Call(const char* event, const std::vector<double>& arguments);

  // Used by delivered messages only: there are none after the environment's end.
  Environment* const environment_;
  const std::shared_ptr<Mailbox> mailbox_;
  const Napi::ObjectReference* object_;  // Weak. Null: silent.
};

}  // namespace podfs
