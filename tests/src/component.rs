//! Components that no compiler makes: a sound one with something added at its end.
//!
//! A component is a row of sections, and one that comes later may go on counting where
//! those before have stopped. So a module and its instances can be added without knowing
//! what the others hold, but for how many modules there are.

use crate::{Context, Result};

/// `\0asm`, and what says that it is a component.
const PREAMBLE_BYTES: usize = 8;
/// The section of one core module, as bytes.
const CORE_MODULE: u8 = 1;
/// The section of core instances.
const CORE_INSTANCES: u8 = 2;
/// The section of aliases, which may give a module a number too.
const ALIASES: u8 = 6;

/// The component with this core module in it, instantiated so many times. The module
/// imports nothing.
pub fn with_module(component: &[u8], module: &[u8], instances: u32) -> Result<Vec<u8>> {
    let number = core_modules(component)?;
    let mut added = component.to_vec();
    section(&mut added, CORE_MODULE, module)?;
    let mut all = Vec::new();
    unsigned(&mut all, instances);
    for _ in 0..instances {
        // Instantiates it with no arguments.
        all.push(0);
        unsigned(&mut all, number);
        unsigned(&mut all, 0);
    }
    section(&mut added, CORE_INSTANCES, &all)?;
    Ok(added)
}

/// How many modules a component defines.
fn core_modules(component: &[u8]) -> Result<u32> {
    let (mut at, mut count) = (PREAMBLE_BYTES, 0);
    while let Some(kind) = component.get(at) {
        let (bytes, after) = read_unsigned(component, at + 1).context("a cut section")?;
        crate::check!(
            *kind != ALIASES || !has_module(component, after),
            "an alias"
        );
        count += u32::from(*kind == CORE_MODULE);
        at = after + bytes as usize;
    }
    Ok(count)
}

/// Whether the first of these aliases is of a module. Compilers write none.
fn has_module(component: &[u8], at: usize) -> bool {
    let Some((_, first)) = read_unsigned(component, at) else {
        return false;
    };
    component.get(first..first + 2) == Some(&[0, 0x11])
}

fn section(to: &mut Vec<u8>, kind: u8, content: &[u8]) -> Result<()> {
    to.push(kind);
    unsigned(to, u32::try_from(content.len())?);
    to.extend_from_slice(content);
    Ok(())
}

/// LEB128.
fn unsigned(to: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// A number and where it ends.
fn read_unsigned(bytes: &[u8], mut at: usize) -> Option<(u32, usize)> {
    let (mut number, mut shift) = (0u32, 0);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte < 0x80 {
            return Some((number, at));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn what_is_added_is_counted() {
        let empty = b"\0asm\x0d\0\x01\0";
        let module = b"\0asm\x01\0\0\0";
        let one = with_module(empty, module, 0).unwrap();
        let two = with_module(&one, &[module.as_slice(), &[0; 300]].concat(), 130).unwrap();
        assert_eq!(core_modules(&two).unwrap(), 2);
        // Its instances are of the second.
        assert!(two.ends_with(&[0, 1, 0, 0, 1, 0]));
    }
}
