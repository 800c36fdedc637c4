//! gRPC interface, the contract between agents, aggregators, commands and scripts of different versions.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};
use rta_shared::proto::FILE_DESCRIPTOR_SET;

use crate::golden::assert_golden;

const REMOVAL: &str = "a field, method or enum value that is removed, renamed, renumbered or retyped is a \
     breaking change for agents, commands and scripts of another version. Add a new one beside it, and \
     reserve the number of one that is dropped.";

#[test]
fn grpc_interface_is_unchanged() {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let mut lines: Vec<Vec<String>> =
        files.iter().filter(|file| file.package().starts_with("rta.")).flat_map(file_blocks).collect();
    // Independent of the files that messages are defined in.
    lines.sort();
    lines.dedup();
    assert!(lines.iter().any(|block| block[0].starts_with("service rta.v1.AggregatorService")), "{lines:#?}");
    assert_golden("grpc.txt", REMOVAL, &lines.concat());
}

/// Returns the lines of a package, of each service, message and enum of `file`.
fn file_blocks(file: &FileDescriptorProto) -> Vec<Vec<String>> {
    let package = file.package();
    let mut blocks = vec![vec![format!("package {package} ({})", file.syntax())]];
    blocks.extend(file.service.iter().map(|service| service_lines(package, service)));
    blocks.extend(file.enum_type.iter().map(|definition| enum_lines(package, definition)));
    blocks.extend(file.message_type.iter().flat_map(|message| message_blocks(package, message)));
    blocks
}

fn service_lines(package: &str, service: &ServiceDescriptorProto) -> Vec<String> {
    let name = format!("{package}.{}", service.name());
    let mut lines: Vec<String> = service
        .method
        .iter()
        .map(|method| {
            let stream = |is_streaming| if is_streaming { "stream " } else { "" };
            format!(
                "service {name} method {}({}{}) returns ({}{})",
                method.name(),
                stream(method.client_streaming()),
                method.input_type().trim_start_matches('.'),
                stream(method.server_streaming()),
                method.output_type().trim_start_matches('.')
            )
        })
        .collect();
    lines.sort();
    lines.insert(0, format!("service {name}"));
    lines
}

fn enum_lines(scope: &str, definition: &EnumDescriptorProto) -> Vec<String> {
    let name = format!("{scope}.{}", definition.name());
    let mut lines = vec![format!("enum {name}")];
    let mut values: Vec<_> = definition.value.iter().collect();
    values.sort_by_key(|value| value.number());
    lines.extend(
        values.iter().map(|value| format!("enum {name} value {} = {}", value.name(), value.number())),
    );
    // The end of a reserved range of an enum is inclusive; that of a message is exclusive.
    let ranges = definition.reserved_range.iter().map(|range| (range.start(), range.end()));
    lines.extend(reserved_lines(&format!("enum {name}"), ranges, &definition.reserved_name));
    lines
}

fn message_blocks(scope: &str, message: &DescriptorProto) -> Vec<Vec<String>> {
    let name = format!("{scope}.{}", message.name());
    let mut lines = vec![format!("message {name}")];
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_by_key(|field| field.number());
    lines.extend(fields.iter().map(|field| field_line(&name, message, field)));
    let ranges = message.reserved_range.iter().map(|range| (range.start(), range.end() - 1));
    lines.extend(reserved_lines(&format!("message {name}"), ranges, &message.reserved_name));
    let mut blocks = vec![lines];
    blocks.extend(message.enum_type.iter().map(|definition| enum_lines(&name, definition)));
    blocks.extend(message.nested_type.iter().flat_map(|nested| message_blocks(&name, nested)));
    blocks
}

fn field_line(message_name: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Required => "required ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional => "",
    };
    // On the wire an optional field is a oneof of its own, which users do not see.
    let oneof = field
        .oneof_index
        .filter(|_| !field.proto3_optional())
        .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
        .map(|oneof| format!(" in oneof {}", oneof.name()))
        .unwrap_or_default();
    format!(
        "message {message_name} field {} = {}: {label}{}{oneof}",
        field.name(),
        field.number(),
        type_name(field)
    )
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn reserved_lines(
    owner: &str,
    ranges: impl Iterator<Item = (i32, i32)>,
    names: &[String],
) -> impl Iterator<Item = String> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    let numbers = ranges.into_iter().map(|(first, last)| format!("{owner} reserved {first} to {last}"));
    let names = names.iter().map(|name| format!("{owner} reserved name {name}"));
    numbers.chain(names).collect::<Vec<_>>().into_iter()
}
