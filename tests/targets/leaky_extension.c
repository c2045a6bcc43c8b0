/* A module for Python that makes blocks and returns how many: forget() loses them, borrow() does not. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static PyObject *forget(PyObject *module, PyObject *count)
{
    (void)module;
    for (long i = PyLong_AsLong(count); i > 0; i--) {
        void *volatile block = malloc(331); /* the leak: no pointer to the next chunk looks like one to its end */
        explicit_bzero(block, malloc_usable_size(block)); /* what was there before might refer to others */
    }
    return Py_NewRef(count);
}

static PyObject *borrow(PyObject *module, PyObject *count)
{
    (void)module;
    for (long i = PyLong_AsLong(count); i > 0; i--) {
        void *volatile block = malloc(331);
        free(block);
    }
    return Py_NewRef(count);
}

static PyMethodDef methods[] = {
    {"forget", forget, METH_O, NULL},
    {"borrow", borrow, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "leaky_extension", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_leaky_extension(void)
{
    return PyModule_Create(&definition);
}
