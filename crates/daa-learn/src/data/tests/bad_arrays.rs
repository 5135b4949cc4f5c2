//! Refusals of idx and npy files, with the words the user reads.

use super::*;

fn default() -> LoadOptions {
    LoadOptions::default()
}

/// Refusal of an idx pair.
fn idx_refusal(images: &[u8], labels: &[u8]) -> (String, String) {
    let folder = Folder::new(&[("a-images-idx3-ubyte", images), ("a-labels-idx1-ubyte", labels)]);
    folder.refusal(folder.source("a-images-idx3-ubyte").load(&default()))
}

#[test]
fn broken_idx() {
    let images = idx(&[4, 2, 2], &[0; 16]);
    let labels = idx(&[4], &[0, 1, 0, 1]);
    let damaged = "the file is damaged: copy or download it again";
    let name = "a-images-idx3-ubyte";
    for (bad, message, hint) in [
        (&images[..25], "truncated: 32 bytes announced, 25 found", damaged),
        (
            &images[..9],
            "truncated: at least 16 bytes announced, 9 found",
            damaged,
        ),
        (
            &[&images[..], &[7, 7]].concat(),
            "2 bytes are left over behind the announced 32",
            damaged,
        ),
        (
            b"\0\x01\x08\x03aaaa",
            "not an idx file: it starts with 00 01 08 03 61 61",
            "check that the file is what its name says",
        ),
        (
            &idx(&[4, 0, 2], &[]),
            "bad header: the dimensions [4, 0, 2] hold no values",
            damaged,
        ),
        (
            &idx(&[0, 2, 2], &[]),
            "a header and no rows",
            "check that the file was written to its end",
        ),
        (
            &idx(&[u32::MAX; 4], &[]),
            "bad header: the dimensions [4294967295, 4294967295, 4294967295, 4294967295] overflow",
            damaged,
        ),
        (
            &idx(&[1; 5], &[1]),
            "an idx file of 5 dimensions is not supported, read are 1 to 4",
            "convert the data to CSV with a header, npy, or idx",
        ),
    ] {
        let found = idx_refusal(bad, &labels);
        assert_eq!((found.0, found.1.as_str()), (format!("{name}: {message}"), hint));
    }
}

#[test]
fn idx_labels_that_do_not_fit() {
    let name = "a-images-idx3-ubyte";
    let images = idx(&[4, 2, 2], &[0; 16]);
    let found = idx_refusal(&images, &idx(&[3], &[0, 1, 0]));
    assert_eq!(
        found,
        (
            format!("{name}: 4 rows of features, but 3 labels in a-labels-idx1-ubyte"),
            "check that both files belong together".into()
        )
    );
    let found = idx_refusal(&images, &idx(&[2, 2], &[0, 1, 0, 1]));
    assert_eq!(
        found.0,
        "a-labels-idx1-ubyte: an array of labels with dimensions [2, 2] is not supported, labels have one dimension"
    );
    let found = idx_refusal(&images, &idx(&[4], &[3, 3, 3, 3]));
    assert_eq!(
        found.0,
        "a-labels-idx1-ubyte: the target \"label\" has only one class, \"3\""
    );
    let mut wide = vec![0, 0, 0x0b, 1];
    wide.extend([0, 0, 0, 4, 0, 0, 0, 1, 0x10, 0, 0, 1]);
    let found = idx_refusal(&images, &wide);
    assert_eq!(
        found,
        (
            "a-labels-idx1-ubyte: row 3 has label 4096, allowed are 0 to 1023".into(),
            "number the classes from 0".into()
        )
    );
    let folder = Folder::new(&[(name, &images)]);
    let found = folder.refusal(folder.source(name).load(&default()));
    assert!(
        found
            .0
            .starts_with("a-images-idx3-ubyte: no labels found beside it, looked for a-labels-idx1-ubyte")
    );
    assert!(
        found
            .1
            .starts_with("put the labels beside the features as a-labels-idx1-ubyte or "),
        "{}",
        found.1
    );
}

#[test]
fn a_fashion_label_beyond_the_ten_classes() {
    let folder = Folder::new(&[
        ("train-images-idx3-ubyte", &idx(&[4, 2, 2], &[0; 16])),
        ("train-labels-idx1-ubyte", &idx(&[4], &[0, 1, 10, 1])),
    ]);
    let options = LoadOptions {
        fashion_mnist: Some(folder.0.path().to_owned()),
        ..default()
    };
    let found = folder.refusal(DataSource::FashionMnist.load(&options));
    assert_eq!(
        found.0,
        "train-labels-idx1-ubyte: row 3 has label 10, allowed are 0 to 9"
    );
}

/// Refusal of an npy features file.
fn npy_refusal(features: &[u8]) -> (String, String) {
    let labels = npy(&[2], npyz::Order::C, &[0_u8, 1]);
    let folder = Folder::new(&[("X.npy", features), ("y.npy", &labels)]);
    folder.refusal(folder.source("X.npy").load(&default()))
}

#[test]
fn broken_npy() {
    let whole = npy(&[2, 2], npyz::Order::C, &[1.0_f32; 4]);
    let damaged = "the file is damaged: copy or download it again";
    let expected = format!(
        "X.npy: truncated: {} bytes announced, {} found",
        whole.len(),
        whole.len() - 3
    );
    assert_eq!(npy_refusal(&whole[..whole.len() - 3]), (expected, damaged.into()));
    let found = npy_refusal(&whole[..40]);
    assert_eq!(
        found,
        (
            "X.npy: truncated: at least the header's bytes announced, 40 found".into(),
            damaged.into()
        )
    );
    let found = npy_refusal(b"not an array");
    assert_eq!(
        found.0,
        "X.npy: not an npy file: it starts with 6e 6f 74 20 61 6e"
    );
    let found = npy_refusal(b"\x93NUMPY\x02\0\xff\xff\xff\xff");
    assert_eq!(
        found.0,
        "X.npy: bad header: a header of 4294967295 bytes, allowed are at most 10000"
    );
    let found = npy_refusal(b"\x93NUMPY\x09\0\x10\0");
    assert_eq!(
        found.0,
        "X.npy: npy format version 9 is not supported, read are 1 to 3"
    );
    let found = npy_refusal(b"PK\x03\x04 whatever");
    assert_eq!(
        found.0,
        "X.npy: a zip or npz archive is not supported, read are CSV, npy and idx, each also as .gz"
    );
}

#[test]
fn broken_npy_headers() {
    let with = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    for (header, message) in [
        (
            "{'descr': 'O', 'fortran_order': False, 'shape': (2,), }",
            "X.npy: the element type \"O\" is not supported, read are b1, i1 to i8, u1 to u8, f4 and f8",
        ),
        (
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
            "X.npy: the element type \"a record type\" is not supported, read are b1, i1 to i8, u1 to u8, f4 and f8",
        ),
        (
            "{'descr': '<f4', 'shape': (2,)}",
            "X.npy: bad header: descr, fortran_order and shape are needed",
        ),
        (
            "{'descr': '<f4', 'fortran_order': Maybe",
            "X.npy: bad header: expected `False` at \"Maybe\"",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -1)}",
            "X.npy: bad header: \"\" is no dimension",
        ),
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "X.npy: bad header: \"99999999999999999999\" is no dimension",
        ),
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
            "X.npy: bad header: the dimensions [4611686018427387904, 4] overflow",
        ),
        (
            "{'descr': '<f8', 'fortran_order': True, 'shape': (1,1,1,1,1)}AAAAAAAA",
            "X.npy: bad header: text behind the dictionary",
        ),
    ] {
        assert_eq!(npy_refusal(&with(header)).0, message);
    }
    let deep = "(".repeat(9_000);
    assert_eq!(
        npy_refusal(&with(&deep)).0,
        "X.npy: bad header: expected `{` at \"((((((((\""
    );
}
