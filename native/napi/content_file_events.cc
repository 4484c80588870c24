#include "napi/content_file_events.h"

#include <utility>

namespace podfs {

namespace {
constexpr const char* kProperty = "events";
}  // namespace

void ContentFileEvents::Keep(Napi::Object object, const Napi::Value& events) {
  object.DefineProperty(Napi::PropertyDescriptor::Value(kProperty, events, napi_default));
}

void ContentFileEvents::OnMiss(uint64_t first, uint64_t count) {
  Post("onMiss", {static_cast<double>(first), static_cast<double>(count)});
}

void ContentFileEvents::OnTrigger(uint64_t block) { Post("onTrigger", {static_cast<double>(block)}); }

void ContentFileEvents::Post(const char* event, std::vector<double> arguments) {
  mailbox_->Post(
      [self = shared_from_this(), event, arguments = std::move(arguments)] { self->Call(event, arguments); });
}

void ContentFileEvents::Call(const char* event, const std::vector<double>& arguments) {
  if (object_ == nullptr) return;
  const Napi::Object object = object_->Value();
  if (object.IsEmpty()) return;  // Found dead by the garbage collector, which has not come to close the file.
  const Napi::Value events = object.Get(kProperty);
  if (events.IsEmpty()) return;  // JavaScript cannot run any more.
  std::vector<napi_value> numbers;
  for (const double argument : arguments) numbers.push_back(Napi::Number::New(environment_->env(), argument));
  Environment::Emit(events.As<Napi::Object>(), event, numbers);
}

}  // namespace podfs
